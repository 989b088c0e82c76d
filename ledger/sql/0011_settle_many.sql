-- Ends many plain holds at once, each charged more than nothing. Returns those it ended;
-- the others (not plain, or ended before) are the caller's, by ledger_settle. Asks
-- for the holds by id as well as by join: else it reads every open hold, however small the batch.
CREATE OR REPLACE FUNCTION ledger_settle_many(
    p_holds uuid[], p_transactions uuid[], p_charges bigint[], p_to uuid[], p_scope text
) RETURNS TABLE (o_hold uuid, o_account uuid, o_charged bigint, o_available bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    PERFORM 1 FROM ledger_account WHERE id IN (
        SELECT account_id FROM ledger_hold WHERE id = ANY (p_holds)
    ) ORDER BY id FOR NO KEY UPDATE;
    RETURN QUERY
    WITH asked AS (
        SELECT hold, transaction, charge, credit
        FROM unnest(p_holds, p_transactions, p_charges, p_to) AS r (hold, transaction, charge, credit)
    ), ended AS (
        UPDATE ledger_hold h SET
            state = 1, settled = least(r.charge, h.amount), transaction_id = r.transaction,
            resolved_at = v_now
        FROM asked r
        WHERE h.id = ANY (p_holds) AND h.id = r.hold AND h.state = 0 AND h.lots IS NULL AND h.counters IS NULL
            AND r.charge > 0 AND h.amount > 0
            AND NOT EXISTS (
                SELECT FROM ledger_account a WHERE a.id = h.account_id AND a.owed > 0)
        RETURNING h.id, h.account_id, h.amount, h.settled, r.transaction, r.credit
    ), walked AS (
        SELECT e.*, a.posted, a.version, a.held, a.floor,
            sum(e.settled) OVER w AS charged_so_far, row_number() OVER w AS step,
            sum(e.amount) OVER (PARTITION BY e.account_id) AS freed,
            sum(e.settled) OVER (PARTITION BY e.account_id) AS spent
        FROM ended e JOIN ledger_account a ON a.id = e.account_id
        WINDOW w AS (PARTITION BY e.account_id ORDER BY e.id ROWS UNBOUNDED PRECEDING)
    ), paid AS (
        UPDATE ledger_account a SET
            held = a.held - t.amount, posted = a.posted - t.settled, version = a.version + t.count
        FROM (
            SELECT account_id, sum(amount) AS amount, sum(settled) AS settled, count(*) AS count
            FROM ended GROUP BY account_id
        ) t WHERE a.id = t.account_id
    ), written AS (
        INSERT INTO ledger_transaction (
            id, kind, scope, ref, request_id, actor, occurred_at, created_at
        )
        SELECT transaction, 'charge', p_scope, id::text, id, '', v_now, v_now FROM ended
    ), booked AS (
        INSERT INTO ledger_entry (
            transaction_id, account_id, amount, balance_after, account_version, created_at
        )
        SELECT transaction, account_id, -settled, posted - charged_so_far, version + step, v_now
        FROM walked
        UNION ALL
        SELECT transaction, credit, settled, NULL, NULL, v_now FROM ended
    )
    SELECT w.id, w.account_id, w.settled,
        (w.posted - w.held - w.floor + w.freed - w.spent)::bigint
    FROM walked w;
END $$;
