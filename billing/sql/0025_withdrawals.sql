-- Earnings clear, and are taken out. Amounts in nanos. PW002: the key was used for another request.
--
-- A charge credits earnings_pending, which nobody locks. Everything here locks the team's cleared
-- earnings first, so that for one team it happens one after the other. Cleared earnings have a floor
-- of 0: what refunds and disputes take beyond them is owed, and paid by what clears next.

INSERT INTO billing_payout_terms (
    clearing_days, reserve_bps, reserve_days, minimum_nanos, fee_nanos, fee_bps,
    approval_above_nanos, destination_delay_hours, actor, created_at
) VALUES (7, 0, 0, 10000000000, 0, 0, 1000000000000, 72, 'migration', clock_timestamp());

CREATE TRIGGER withdrawal_kept BEFORE DELETE ON billing_withdrawal
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER withdrawal_not_truncated BEFORE TRUNCATE ON billing_withdrawal
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER clearing_kept BEFORE UPDATE OR DELETE ON billing_clearing
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();

-- The operator's side of money that leaves: `processor` at Stripe, `external` for banks, and fees.
CREATE FUNCTION billing_operator_account(p_kind text, p_cur text, p_live boolean) RETURNS uuid
LANGUAGE sql VOLATILE AS $$
    SELECT ledger_account_open(p_kind, billing_operator(), p_cur, p_live, NULL)
$$;

CREATE FUNCTION billing_payout_terms_now() RETURNS billing_payout_terms LANGUAGE sql STABLE
AS 'SELECT * FROM billing_payout_terms ORDER BY id DESC LIMIT 1';

-- A team's cleared earnings, made when missing, and locked.
CREATE FUNCTION billing_earnings_lock(p_team uuid, p_cur text, p_live boolean) RETURNS ledger_account
LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := ledger_account_open('earnings', p_team, p_cur, p_live, 0);
    v_account ledger_account;
BEGIN
    SELECT * INTO v_account FROM ledger_account WHERE id = v_id FOR NO KEY UPDATE;
    RETURN v_account;
END $$;

-- The last entry before a moment. Ids follow the time but for seconds, so this looks for it by
-- halves: an index over the time of all entries would cost every charge.
CREATE FUNCTION billing_entry_before(p_moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_low bigint := 0;
    v_high bigint := coalesce((SELECT max(id) FROM ledger_entry), 0);
    v_middle bigint;
    v_found record;
BEGIN
    WHILE v_low < v_high LOOP
        v_middle := v_low + (v_high - v_low + 1) / 2;
        SELECT id, created_at INTO v_found FROM ledger_entry WHERE id >= v_middle
            ORDER BY id LIMIT 1;
        IF v_found.id <= v_high AND v_found.created_at < p_moment THEN
            v_low := v_found.id;
        ELSE
            v_high := v_middle - 1;
        END IF;
    END LOOP;
    RETURN v_low;
END $$;

-- Where earnings stand: {pending, cleared, owed, reserve, available}. Without an account: zeros.
CREATE FUNCTION billing_earnings(p_team uuid, p_cur text, p_live boolean) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_terms billing_payout_terms := billing_payout_terms_now();
    v_cleared ledger_account;
    v_from uuid;
    v_pending numeric;
    v_reserve numeric;
BEGIN
    SELECT * INTO v_cleared FROM ledger_account WHERE kind = 'earnings' AND owner = p_team
        AND currency = p_cur AND livemode = p_live;
    SELECT id INTO v_from FROM ledger_account WHERE kind = 'earnings_pending' AND owner = p_team
        AND currency = p_cur AND livemode = p_live;
    v_pending := coalesce(ledger_total(v_from), 0);
    SELECT ceil(coalesce(sum(nanos), 0) * v_terms.reserve_bps / 10000) INTO v_reserve
        FROM billing_clearing WHERE account_id = v_from AND nanos > 0
            AND created_at > ledger_now(p_live) - make_interval(days => v_terms.reserve_days);
    RETURN jsonb_build_object(
        'pending', v_pending, 'cleared', coalesce(v_cleared.posted, 0),
        'owed', coalesce(v_cleared.owed, 0), 'reserve', v_reserve,
        'available', greatest(0, coalesce(v_cleared.posted - v_cleared.owed, 0)
            + least(v_pending, 0) - v_reserve));
END $$;

-- Clears what is old enough of one account of pending earnings; returns what moved: all that is
-- pending but what was earned too lately. So refunds take from pending earnings first, from the oldest
-- on; only what is beyond all of them comes out of cleared ones. What is moved is computed from what
-- is there, so this may run late, twice, at once, and while entries are being written. By whole days
-- of UTC, once a day.
CREATE FUNCTION billing_clear(p_account uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_terms billing_payout_terms := billing_payout_terms_now();
    v_from ledger_account;
    v_to ledger_account;
    v_last billing_clearing;
    v_cut timestamptz;
    v_upto bigint;
    v_young numeric;
    v_pending numeric;
    v_most numeric := 1000000000000000000;
    v_moved bigint;
    v_id uuid := ledger_uuid7();
    v_ref text;
BEGIN
    SELECT * INTO v_from FROM ledger_account WHERE id = p_account AND kind = 'earnings_pending';
    v_to := billing_earnings_lock(v_from.owner, v_from.currency, v_from.livemode);
    SELECT * INTO v_last FROM billing_clearing WHERE account_id = p_account
        ORDER BY number DESC LIMIT 1;
    v_last.number := coalesce(v_last.number, 0) + 1;
    v_ref := p_account || ':' || v_last.number;
    v_cut := ledger_now(v_from.livemode) - make_interval(days => v_terms.clearing_days);
    IF v_terms.clearing_days > 0 THEN v_cut := date_trunc('day', v_cut, 'UTC'); END IF;
    v_upto := greatest(v_last.upto, billing_entry_before(v_cut), 0);
    v_pending := ledger_total(p_account);
    IF v_pending = 0 OR (v_pending > 0 AND v_terms.clearing_days > 0 AND v_upto = v_last.upto) THEN
        RETURN 0;
    END IF;
    SELECT coalesce(sum(amount), 0) INTO v_young FROM ledger_entry
        WHERE account_id = p_account AND id > v_upto AND amount > 0 AND NOT EXISTS (
            SELECT FROM billing_clearing c WHERE c.transaction_id = ledger_entry.transaction_id);
    v_moved := CASE WHEN v_pending < 0 THEN greatest(v_pending, -v_most)
        ELSE least(greatest(v_pending - v_young, 0), v_most) END;
    IF v_moved > 0 THEN
        PERFORM ledger_credit(v_id, 'earning', 'earning', v_ref, NULL, NULL, 'ledger', NULL, NULL,
            v_to.id, p_account, v_moved, NULL, NULL, NULL, NULL, NULL, NULL);
    ELSIF v_moved < 0 THEN
        PERFORM ledger_claw(v_id, 'earning', 'earning', v_ref, NULL, 'ledger', NULL,
            v_to.id, p_account, -v_moved, NULL, NULL);
    END IF;
    INSERT INTO billing_clearing (
        account_id, number, upto, nanos, terms_id, transaction_id, created_at
    ) VALUES (
        p_account, v_last.number, v_upto, v_moved, v_terms.id, CASE WHEN v_moved <> 0 THEN v_id END,
        clock_timestamp());
    RETURN v_moved;
END $$;

-- Takes earnings back: a dispute that came after they were made, a correction. p: id, ref, print,
-- team, cur, live, amount, actor, reason, to (account kind of the operator). Pending earnings first.
CREATE FUNCTION billing_take_back(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_team uuid := p ->> 'team';
    v_cur text := p ->> 'cur';
    v_live boolean := p ->> 'live';
    v_amount bigint := p ->> 'amount';
    v_pending uuid := ledger_account_open('earnings_pending', v_team, v_cur, v_live, NULL);
    v_booked record;
BEGIN
    PERFORM billing_earnings_lock(v_team, v_cur, v_live);
    SELECT * INTO v_booked FROM ledger_post(
        (p ->> 'id')::uuid, 'adjustment', 'earnings:' || v_team || billing_mode(p), p ->> 'ref',
        decode(p ->> 'print', 'hex'), NULL, p ->> 'actor', NULL, NULL,
        ARRAY[v_pending, billing_operator_account(p ->> 'to', v_cur, v_live)],
        ARRAY[-v_amount, v_amount], p ->> 'reason', NULL);
    PERFORM billing_clear(v_pending);
    RETURN billing_earnings(v_team, v_cur, v_live)
        || jsonb_build_object('txn', v_booked.o_id, 'replayed', v_booked.o_replayed);
END $$;

-- Sets a withdrawal aside. p: id, txn, team, live, cur, amount (null: all there is), most, minor
-- (nanos of the smallest unit that can be paid), destination, key or null, print, actor. Answers
-- {outcome, id, replayed, available}: requested, below_minimum, insufficient or no_destination.
CREATE FUNCTION billing_withdraw(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_team uuid := p ->> 'team';
    v_live boolean := p ->> 'live';
    v_cur text := p ->> 'cur';
    v_minor bigint := p ->> 'minor';
    v_now timestamptz := ledger_now(v_live);
    v_terms billing_payout_terms := billing_payout_terms_now();
    v_from ledger_account;
    v_old billing_withdrawal;
    v_destination billing_destination;
    v_state jsonb;
    v_available bigint;
    v_reserve bigint;
    v_amount bigint;
    v_net bigint;
    v_free boolean;
BEGIN
    v_from := billing_earnings_lock(v_team, v_cur, v_live);
    SELECT * INTO v_old FROM billing_withdrawal
        WHERE team_id = v_team AND livemode = v_live AND key = p ->> 'key';
    IF FOUND THEN
        IF v_old.fingerprint IS DISTINCT FROM decode(p ->> 'print', 'hex') THEN
            RAISE EXCEPTION 'key used for another withdrawal' USING ERRCODE = 'PW002';
        END IF;
        RETURN jsonb_build_object('outcome', 'requested', 'id', v_old.id, 'replayed', true);
    END IF;
    v_state := billing_earnings(v_team, v_cur, v_live);
    v_reserve := v_state ->> 'reserve';
    v_available := least((v_state ->> 'available')::numeric, 1000000000000000000);
    v_amount := coalesce((p ->> 'amount')::bigint,
        least(v_available, (p ->> 'most')::bigint) / v_minor * v_minor);
    v_net := v_amount - v_terms.fee_nanos - ceil(v_amount::numeric * v_terms.fee_bps / 10000);
    v_net := v_net / v_minor * v_minor;
    v_state := jsonb_build_object('available', v_available, 'minimum', v_terms.minimum_nanos);
    IF v_amount < greatest(v_terms.minimum_nanos, v_minor) OR v_net <= 0 THEN
        RETURN v_state || '{"outcome": "below_minimum"}';
    ELSIF v_amount > v_available THEN
        RETURN v_state || '{"outcome": "insufficient"}';
    END IF;
    SELECT * INTO v_destination FROM billing_destination
        WHERE id = (p ->> 'destination')::uuid AND team_id = v_team AND livemode = v_live
            AND is_active FOR KEY SHARE;
    IF NOT FOUND THEN RETURN v_state || '{"outcome": "no_destination"}'; END IF;
    v_free := v_amount <= v_terms.approval_above_nanos;
    PERFORM ledger_post(
        (p ->> 'txn')::uuid, 'withdrawal', 'withdrawal', p ->> 'id', NULL, NULL, p ->> 'actor', NULL,
        NULL, ARRAY[v_from.id, ledger_account_open('withdrawal', v_team, v_cur, v_live, NULL)],
        ARRAY[-v_amount, v_amount], NULL, NULL);
    INSERT INTO billing_withdrawal (
        id, team_id, destination_id, livemode, currency, amount, fee, net, reserve, state, key,
        fingerprint, requested_by, approved_by, ended_by, reason, facts, tries, pay_after, next_at,
        transaction_id, requested_at, approved_at
    ) SELECT (p ->> 'id')::uuid, v_team, v_destination.id, v_live, v_cur, v_amount, v_amount - v_net,
        v_net, v_reserve, CASE WHEN v_free THEN 'approved' ELSE 'requested' END, p ->> 'key',
        decode(p ->> 'print', 'hex'), p ->> 'actor', '', '', '', '{}', 0, d.pay_after,
        CASE WHEN v_free THEN d.pay_after END, (p ->> 'txn')::uuid, v_now,
        CASE WHEN v_free THEN v_now END
    FROM (SELECT greatest(v_now, v_destination.created_at
        + make_interval(hours => v_terms.destination_delay_hours)) AS pay_after) d;
    RETURN v_state || jsonb_build_object(
        'outcome', 'requested', 'id', p ->> 'id', 'replayed', false);
END $$;

-- The money of a withdrawal that ends: out, or back to where it came from.
CREATE FUNCTION billing_withdrawal_book(w billing_withdrawal, p_to text, p_txn uuid, p_actor text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_way uuid := ledger_account_open('withdrawal', w.team_id, w.currency, w.livemode, NULL);
    v_earnings uuid := ledger_account_open('earnings', w.team_id, w.currency, w.livemode, 0);
    v_out uuid := billing_operator_account((
        SELECT CASE kind WHEN 'stripe' THEN 'processor' ELSE 'external' END
        FROM billing_destination WHERE id = w.destination_id), w.currency, w.livemode);
    v_accounts uuid[] := ARRAY[v_out];
    v_amounts bigint[] := ARRAY[w.net];
BEGIN
    IF w.fee > 0 THEN
        v_accounts := v_accounts || billing_operator_account('platform_fee', w.currency, w.livemode);
        v_amounts := v_amounts || w.fee;
    END IF;
    IF p_to = 'paid' THEN
        PERFORM ledger_post(p_txn, 'withdrawal', 'withdrawal:paid', w.id::text, NULL, NULL, p_actor,
            NULL, NULL, v_way || v_accounts, -w.amount || v_amounts, NULL, NULL);
        RETURN;
    END IF;
    IF w.state = 'paid' THEN
        v_amounts := ARRAY(SELECT -part FROM unnest(v_amounts) WITH ORDINALITY AS u (part, n)
            ORDER BY n);
    ELSE
        v_accounts := ARRAY[v_way];
        v_amounts := ARRAY[-w.amount];
    END IF;
    PERFORM ledger_post(p_txn, 'withdrawal', 'withdrawal:back', w.id::text, NULL, NULL, p_actor,
        w.transaction_id, NULL, v_earnings || v_accounts, w.amount || v_amounts, NULL, NULL);
    PERFORM ledger_collect(v_earnings);
END $$;

-- Moves a withdrawal on, with its money. p: id, to, txn, actor, reason, facts (added), next_s (when
-- to look again; null: never). Answers {outcome, was}: moved; same (already there: facts and next_s
-- are kept); same_person; wrong_state; not_found.
CREATE FUNCTION billing_withdrawal_move(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_to text := p ->> 'to';
    v_next timestamptz := clock_timestamp() + make_interval(secs => (p ->> 'next_s')::float);
    w billing_withdrawal;
    v_now timestamptz;
BEGIN
    SELECT * INTO w FROM billing_withdrawal WHERE id = (p ->> 'id')::uuid FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN '{"outcome": "not_found"}'; END IF;
    v_now := ledger_now(w.livemode);
    IF w.state = v_to THEN
        UPDATE billing_withdrawal SET facts = facts || coalesce(p -> 'facts', '{}'),
            reason = coalesce(p ->> 'reason', reason),
            next_at = CASE WHEN v_to IN ('sent', 'paid') THEN v_next ELSE next_at END WHERE id = w.id;
        RETURN jsonb_build_object('outcome', 'same', 'was', w.state);
    ELSIF (w.state, v_to) NOT IN (
        ('requested', 'approved'), ('requested', 'cancelled'), ('requested', 'failed'),
        ('approved', 'cancelled'), ('approved', 'failed'),
        ('sent', 'paid'), ('sent', 'failed'), ('paid', 'failed')
    ) THEN
        RETURN jsonb_build_object('outcome', 'wrong_state', 'was', w.state);
    ELSIF v_to = 'approved' AND w.requested_by = p ->> 'actor' THEN
        RETURN jsonb_build_object('outcome', 'same_person', 'was', w.state);
    END IF;
    IF v_to <> 'approved' THEN
        PERFORM billing_withdrawal_book(w, v_to, (p ->> 'txn')::uuid, p ->> 'actor');
    END IF;
    UPDATE billing_withdrawal SET
        state = v_to, facts = facts || coalesce(p -> 'facts', '{}'),
        reason = coalesce(p ->> 'reason', ''),
        approved_by = CASE v_to WHEN 'approved' THEN p ->> 'actor' ELSE approved_by END,
        ended_by = CASE v_to WHEN 'approved' THEN '' ELSE p ->> 'actor' END,
        next_at = CASE v_to WHEN 'approved' THEN pay_after WHEN 'paid' THEN v_next END,
        approved_at = CASE v_to WHEN 'approved' THEN v_now ELSE approved_at END,
        paid_at = CASE v_to WHEN 'paid' THEN v_now ELSE paid_at END,
        failed_at = CASE v_to WHEN 'failed' THEN v_now ELSE failed_at END,
        cancelled_at = CASE v_to WHEN 'cancelled' THEN v_now ELSE cancelled_at END,
        paid_transaction_id = CASE v_to WHEN 'paid' THEN (p ->> 'txn')::uuid
            ELSE paid_transaction_id END,
        back_transaction_id = CASE WHEN v_to IN ('failed', 'cancelled') THEN (p ->> 'txn')::uuid END
        WHERE id = w.id;
    RETURN jsonb_build_object('outcome', 'moved', 'was', w.state);
END $$;

-- The withdrawal that waits longest to be paid or looked at, by a destination's own means, for a
-- lease: approved ones become sent before anybody is asked to pay, so that none is cancelled then.
CREATE FUNCTION billing_withdrawal_claim(p_lease_s integer) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    SELECT w.id INTO v_id FROM billing_withdrawal w JOIN billing_destination d
        ON d.id = w.destination_id
        WHERE w.next_at <= ledger_now(w.livemode) AND d.kind <> 'bank'
            AND w.state IN ('approved', 'sent', 'paid')
        ORDER BY w.next_at LIMIT 1 FOR NO KEY UPDATE OF w SKIP LOCKED;
    UPDATE billing_withdrawal SET tries = least(tries + 1, 30000),
        state = CASE state WHEN 'approved' THEN 'sent' ELSE state END,
        sent_at = coalesce(sent_at, ledger_now(livemode)),
        next_at = clock_timestamp() + make_interval(secs => p_lease_s)
        WHERE id = v_id;
    RETURN v_id;
END $$;

-- Somebody heard news of a withdrawal: it is looked at next.
CREATE FUNCTION billing_withdrawal_nudge(p_id uuid) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE billing_withdrawal SET next_at = clock_timestamp(), tries = 0
    WHERE id = p_id AND state IN ('sent', 'paid') RETURNING true
$$;

-- Takes the approved withdrawals to banks whose time has come into a new batch; returns how many.
-- p: id, live, cur, actor, most.
CREATE FUNCTION billing_bank_batch(p jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_live boolean := p ->> 'live';
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(
        SELECT w.id FROM billing_withdrawal w JOIN billing_destination d ON d.id = w.destination_id
        WHERE w.state = 'approved' AND d.kind = 'bank' AND w.livemode = v_live
            AND w.currency = p ->> 'cur' AND w.next_at <= ledger_now(v_live)
        ORDER BY w.id LIMIT (p ->> 'most')::integer FOR NO KEY UPDATE OF w SKIP LOCKED);
    IF v_ids = '{}' THEN RETURN 0; END IF;
    INSERT INTO billing_bank_batch (id, livemode, currency, actor, created_at)
        VALUES ((p ->> 'id')::uuid, v_live, p ->> 'cur', p ->> 'actor', clock_timestamp());
    UPDATE billing_withdrawal SET state = 'sent', sent_at = ledger_now(v_live), next_at = NULL,
        batch_id = (p ->> 'id')::uuid WHERE id = ANY (v_ids);
    RETURN cardinality(v_ids);
END $$;
