-- What a process of the product could do if it were not ours any more: less than before.

-- Where a paywall's charges go, in its own currency; null for one that does not exist. The runtime
-- role may open this account and no other.
CREATE FUNCTION billing_revenue(p_paywall uuid, p_live boolean) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT ledger_account_open('revenue', id, currency, p_live, NULL)
    FROM paywalls_paywall WHERE id = p_paywall
$$;

-- As in 0005, and the charge must go to the paywall's own revenue (PW004).
CREATE OR REPLACE FUNCTION billing_charge_book(p_ask jsonb) RETURNS jsonb
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
    IF NOT EXISTS (
        SELECT FROM ledger_account WHERE id = (p_ask ->> 'to')::uuid AND kind = 'revenue'
            AND owner = v_paywall AND livemode = (p_ask ->> 'live')::boolean
    ) THEN
        RAISE EXCEPTION 'a charge stays with its paywall' USING ERRCODE = 'PW004';
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

-- As in 0005, but what a lot had paid goes back to that lot (ledger_give_back).
CREATE OR REPLACE FUNCTION billing_refund_book(p jsonb) RETURNS jsonb
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
    SELECT * INTO v_booked FROM ledger_give_back(
        (p ->> 'id')::uuid, v_scope, p ->> 'ref', decode(p ->> 'print', 'hex'), p ->> 'actor',
        v_charge, v_from.account_id, v_to.account_id, v_amount, v_back, p ->> 'reason');
    RETURN jsonb_build_object('id', p -> 'id', 'outcome', 'booked', 'txn', v_booked.o_id,
        'charged', v_amount, 'replayed', v_booked.o_replayed,
        'available', billing_spendable(v_from.account_id));
END $$;
