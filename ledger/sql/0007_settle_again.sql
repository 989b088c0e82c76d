-- A call that is tried again after a lost answer must find its own work. A hold of nothing (a free
-- chat) ends without a transaction that could tell whose work it was; whoever ended it, there was
-- nothing to book, so it is never late.

-- Ends a hold: charges at most what it set aside, credits p_to, frees the rest; a charge of 0 only
-- releases. o_state: settled; released; repeated (this very call was booked before: an ambiguous
-- commit is being retried); late (somebody else ended the hold: nothing is booked).
CREATE OR REPLACE FUNCTION ledger_settle(
    p_hold uuid, p_transaction uuid, p_charge bigint, p_to uuid, p_scope text, p_ref text,
    p_fingerprint bytea, OUT o_state text, OUT o_charged bigint, OUT o_available bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_account record;
    v_hold record;
    v_now timestamptz := clock_timestamp();
BEGIN
    SELECT a.id, a.posted, a.posted - a.held - a.floor AS available, a.version, a.owed
        INTO v_account FROM ledger_account a
        WHERE a.id = (SELECT account_id FROM ledger_hold WHERE id = p_hold) FOR NO KEY UPDATE;
    UPDATE ledger_hold SET
        state = CASE WHEN p_charge > 0 AND amount > 0 THEN 1 ELSE 2 END,
        settled = nullif(least(p_charge, amount), 0),
        transaction_id = CASE WHEN p_charge > 0 AND amount > 0 THEN p_transaction END,
        resolved_at = v_now
    WHERE id = p_hold AND state = 0
    RETURNING amount, coalesce(settled, 0) AS settled, lots, counters INTO v_hold;
    IF NOT FOUND THEN
        SELECT CASE WHEN transaction_id = p_transaction OR (state = 2 AND least(p_charge, amount) = 0)
            THEN 'repeated' ELSE 'late' END, coalesce(settled, 0), v_account.available
            INTO o_state, o_charged, o_available FROM ledger_hold WHERE id = p_hold;
        RETURN;
    END IF;
    o_charged := v_hold.settled;
    o_state := CASE WHEN o_charged > 0 THEN 'settled' ELSE 'released' END;
    o_available := v_account.available + v_hold.amount - o_charged;
    UPDATE ledger_account SET
        held = held - v_hold.amount,
        posted = posted - o_charged,
        version = version + (o_charged > 0)::integer
    WHERE id = v_account.id;
    IF o_charged > 0 THEN
        INSERT INTO ledger_transaction (
            id, kind, scope, ref, fingerprint, request_id, actor, occurred_at, created_at
        ) VALUES (
            p_transaction, 'charge', p_scope, p_ref, p_fingerprint, p_hold, '', v_now, v_now);
        INSERT INTO ledger_entry (
            transaction_id, account_id, amount, balance_after, account_version, created_at
        ) VALUES
            (p_transaction, v_account.id, -o_charged, v_account.posted - o_charged,
                v_account.version + 1, v_now),
            (p_transaction, p_to, o_charged, NULL, NULL, v_now);
    END IF;
    IF v_hold.lots IS NOT NULL THEN
        PERFORM ledger_lots_settle(v_hold.lots, o_charged);
    END IF;
    IF v_hold.counters IS NOT NULL THEN
        PERFORM 1 FROM ledger_counter WHERE id IN (
            SELECT (value ->> 'id')::uuid FROM jsonb_array_elements(v_hold.counters)
        ) ORDER BY id FOR NO KEY UPDATE;
        PERFORM ledger_counters_settle(v_hold.counters, v_hold.amount - o_charged);
    END IF;
    IF v_account.owed > 0 THEN
        o_available := o_available - ledger_collect(v_account.id);
    END IF;
END $$;
