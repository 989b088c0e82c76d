-- Money that moves outside a chat: manual charges, deposits, bonuses, adjustments, refunds.

-- Keeps references of live and of test movements apart.
CREATE FUNCTION billing_mode(p jsonb) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE WHEN (p ->> 'live')::boolean THEN '' ELSE ':test' END $$;

-- A manual charge: a hold of exactly the amount, settled at once, so that there is one path for
-- charges. p_ask as for billing_reserve_one with want = least = the amount, and: txn, to, ref,
-- metadata, feature. Repeating ref with the same fingerprint returns the first movement.
CREATE FUNCTION billing_charge_one(p_ask jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id uuid := p_ask ->> 'id';
    v_txn uuid := p_ask ->> 'txn';
    v_paywall uuid := p_ask ->> 'paywall';
    v_scope text := 'charge:' || v_paywall || billing_mode(p_ask);
    v_print bytea := decode(p_ask ->> 'print', 'hex');
    v_amount bigint := p_ask ->> 'want';
    v_code text := billing_closed(v_paywall, (p_ask ->> 'key')::uuid);
    v_user paywalls_enduser;
    v_old record;
    v_counters jsonb;
    v_hold record;
    v_done record;
BEGIN
    IF v_code IS NOT NULL THEN
        RETURN jsonb_build_object('id', v_id, 'outcome', v_code);
    END IF;
    v_user := billing_user(v_paywall, (p_ask ->> 'live')::boolean, p_ask ->> 'user',
        p_ask ->> 'cur', p_ask -> 'trial');
    PERFORM 1 FROM ledger_account WHERE id = v_user.wallet_id FOR NO KEY UPDATE;
    SELECT t.id, t.fingerprint, e.amount, e.account_id INTO v_old
        FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id AND e.amount < 0
        WHERE t.scope = v_scope AND t.ref = p_ask ->> 'ref';
    IF FOUND THEN
        IF v_old.fingerprint IS DISTINCT FROM v_print THEN
            RETURN jsonb_build_object('id', v_id, 'outcome', 'repeated_key', 'state', 'mismatch');
        END IF;
        RETURN jsonb_build_object('id', v_id, 'outcome', 'booked', 'txn', v_old.id,
            'user', v_user.id, 'charged', -v_old.amount, 'replayed', true,
            'available', billing_spendable(v_user.wallet_id));
    END IF;
    IF v_user.blocked_at IS NOT NULL THEN
        RETURN jsonb_build_object('id', v_id, 'outcome', 'user_blocked');
    END IF;
    v_counters := billing_counters(p_ask, v_user.id, v_user.limits);
    IF v_counters IS NOT NULL THEN
        PERFORM ledger_counters_ensure(ARRAY(
            SELECT (value ->> 'id')::uuid FROM jsonb_array_elements(v_counters)));
    END IF;
    v_hold := ledger_place(
        v_id, v_user.wallet_id, v_amount, v_amount, 60, 60, NULL, v_counters, NULL,
        p_ask ->> 'zone');
    IF v_hold.o_outcome <> 'allowed' THEN
        RETURN jsonb_build_object('id', v_id, 'outcome', v_hold.o_outcome, 'user', v_user.id,
            'available', v_hold.o_available, 'refusal', v_hold.o_refusal);
    END IF;
    v_done := ledger_settle(
        v_id, v_txn, v_amount, (p_ask ->> 'to')::uuid, v_scope, p_ask ->> 'ref', v_print);
    IF jsonb_typeof(p_ask -> 'metadata') = 'object' THEN
        INSERT INTO ledger_note (transaction_id, reason, metadata)
            VALUES (v_txn, '', p_ask -> 'metadata');
    END IF;
    INSERT INTO billing_charge (
        transaction_id, request_id, paywall_id, user_id, key_id, rate_id, model, usage,
        usage_source, policy, charged, provider_cost, created_at
    ) VALUES (
        v_txn, v_id, v_paywall, v_user.id, (p_ask ->> 'key')::uuid, NULL, 'manual', NULL, 'none',
        'manual', v_amount, 0, clock_timestamp());
    INSERT INTO billing_daily AS t (
        user_id, day, model, paywall_id, livemode, requests, failures, prompt_tokens,
        completion_tokens, charged, provider_cost
    ) VALUES (
        v_user.id, (clock_timestamp() AT TIME ZONE (p_ask ->> 'zone'))::date, 'manual', v_paywall,
        (p_ask ->> 'live')::boolean, 1, 0, 0, 0, v_amount, 0
    ) ON CONFLICT (user_id, day, model) DO UPDATE SET
        requests = t.requests + 1, charged = t.charged + excluded.charged;
    RETURN jsonb_build_object('id', v_id, 'outcome', 'booked', 'txn', v_txn, 'user', v_user.id,
        'charged', v_amount, 'replayed', false, 'available', v_done.o_available);
END $$;

-- Many manual charges, one commit, in the order they came.
CREATE FUNCTION billing_charge_many(p_asks jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_ask jsonb;
    v_answer jsonb := '[]';
BEGIN
    PERFORM billing_lock(p_asks);
    FOR v_ask IN SELECT value FROM jsonb_array_elements(p_asks) WITH ORDINALITY ORDER BY ordinality
    LOOP
        v_answer := v_answer || billing_charge_one(v_ask);
    END LOOP;
    RETURN v_answer;
END $$;

-- What a wallet can spend now: posted less holds, floor and what has expired unswept.
CREATE FUNCTION billing_spendable(p_wallet uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT a.posted - a.held - a.floor - CASE WHEN a.has_lots THEN (
        SELECT coalesce(sum(remaining - held), 0) FROM ledger_lot
        WHERE account_id = a.id AND remaining > held AND expires_at <= ledger_now(a.livemode)
    )::bigint ELSE 0 END
    FROM ledger_account a WHERE a.id = p_wallet
$$;

-- The spendable balance of a user, or null when the user was never seen. Creates nothing.
CREATE FUNCTION billing_balance(p_paywall uuid, p_live boolean, p_user text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT billing_spendable(wallet_id) FROM paywalls_enduser
    WHERE paywall_id = p_paywall AND livemode = p_live AND external_id = p_user
$$;

-- Credits a user's wallet. p: id (transaction), kind (deposit, bonus, adjustment, topup), ref, print,
-- paywall, key or null, live, cur, user, amount, from (account kind: external, promo, processor),
-- actor, reason, metadata, expires or null. A lot when it expires or is a bonus (spent first).
CREATE FUNCTION billing_credit(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_paywall uuid := p ->> 'paywall';
    v_live boolean := p ->> 'live';
    v_cur text := p ->> 'cur';
    v_amount bigint := p ->> 'amount';
    v_expires timestamptz := p ->> 'expires';
    v_code text := billing_closed(v_paywall, (p ->> 'key')::uuid);
    v_lot text;
    v_user paywalls_enduser;
    v_booked record;
BEGIN
    -- A paused paywall still takes money in, and people may book on an archived one.
    IF v_code <> 'paywall_paused' AND (p ->> 'key') IS NOT NULL THEN
        RETURN jsonb_build_object('id', p -> 'id', 'outcome', v_code);
    END IF;
    v_user := billing_user(v_paywall, v_live, p ->> 'user', v_cur, p -> 'trial');
    IF v_expires IS NOT NULL OR p ->> 'kind' = 'bonus' THEN v_lot := p ->> 'kind'; END IF;
    SELECT * INTO v_booked FROM ledger_credit(
        (p ->> 'id')::uuid, p ->> 'kind', (p ->> 'kind') || ':' || v_paywall || billing_mode(p),
        p ->> 'ref', decode(p ->> 'print', 'hex'), NULL, p ->> 'actor', NULL, NULL, v_user.wallet_id,
        ledger_account_open(p ->> 'from', v_paywall, v_cur, v_live, NULL), v_amount,
        p ->> 'reason', CASE jsonb_typeof(p -> 'metadata') WHEN 'object' THEN p -> 'metadata' END,
        v_lot, CASE WHEN p ->> 'kind' = 'bonus' THEN 5 ELSE 10 END::smallint, v_expires,
        ledger_account_open('breakage', v_paywall, v_cur, v_live, NULL));
    RETURN jsonb_build_object('id', p -> 'id', 'outcome', 'booked', 'txn', v_booked.o_id,
        'user', v_user.id, 'charged', v_amount, 'replayed', v_booked.o_replayed,
        'available', billing_spendable(v_user.wallet_id));
END $$;

-- Takes money back from a wallet by adjustment or reversal; what is not there becomes a receivable.
-- p as for billing_credit, `from` is the account kind that gets it.
CREATE FUNCTION billing_claw(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_paywall uuid := p ->> 'paywall';
    v_live boolean := p ->> 'live';
    v_user paywalls_enduser;
    v_booked record;
BEGIN
    v_user := billing_user(v_paywall, v_live, p ->> 'user', p ->> 'cur', p -> 'trial');
    SELECT * INTO v_booked FROM ledger_claw(
        (p ->> 'id')::uuid, p ->> 'kind', (p ->> 'kind') || ':' || v_paywall || billing_mode(p),
        p ->> 'ref', decode(p ->> 'print', 'hex'), p ->> 'actor', NULL, v_user.wallet_id,
        ledger_account_open(p ->> 'from', v_paywall, p ->> 'cur', v_live, NULL),
        (p ->> 'amount')::bigint, p ->> 'reason',
        CASE jsonb_typeof(p -> 'metadata') WHEN 'object' THEN p -> 'metadata' END);
    RETURN jsonb_build_object('id', p -> 'id', 'outcome', 'booked', 'txn', v_booked.o_id,
        'user', v_user.id, 'charged', (p ->> 'amount')::bigint, 'replayed', v_booked.o_replayed,
        'available', billing_spendable(v_user.wallet_id));
END $$;

-- Gives back (part of) a charge to the wallet it came from. All refunds of a charge together never
-- pass it (PW003). p: id, charge (transaction), amount, ref, print, actor, reason.
CREATE FUNCTION billing_refund(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_charge uuid := p ->> 'charge';
    v_scope text := 'refund:' || v_charge;
    v_amount bigint := p ->> 'amount';
    v_from ledger_entry;
    v_to ledger_entry;
    v_back bigint;
    v_booked record;
BEGIN
    SELECT e.* INTO v_from FROM ledger_entry e JOIN ledger_transaction t ON t.id = e.transaction_id
        WHERE t.id = v_charge AND t.kind = 'charge' AND e.amount < 0;
    IF NOT FOUND THEN RETURN jsonb_build_object('id', p -> 'id', 'outcome', 'not_found'); END IF;
    SELECT * INTO v_to FROM ledger_entry WHERE transaction_id = v_charge AND amount > 0;
    PERFORM 1 FROM ledger_account WHERE id = v_from.account_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(e.amount), 0) INTO v_back
        FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
        WHERE t.reverses_id = v_charge AND e.account_id = v_from.account_id
            AND NOT (t.scope = v_scope AND t.ref = p ->> 'ref');
    IF v_amount > -v_from.amount - v_back THEN
        RAISE EXCEPTION 'refunds would pass the charge' USING ERRCODE = 'PW003';
    END IF;
    SELECT * INTO v_booked FROM ledger_credit(
        (p ->> 'id')::uuid, 'refund', v_scope, p ->> 'ref', decode(p ->> 'print', 'hex'), NULL,
        p ->> 'actor', v_charge, NULL, v_from.account_id, v_to.account_id, v_amount,
        p ->> 'reason', NULL, NULL, NULL, NULL, NULL);
    RETURN jsonb_build_object('id', p -> 'id', 'outcome', 'booked', 'txn', v_booked.o_id,
        'charged', v_amount, 'replayed', v_booked.o_replayed,
        'available', billing_spendable(v_from.account_id));
END $$;
