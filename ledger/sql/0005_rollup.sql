-- Balances of accounts that no request may lock.

-- Adds the entries since the watermark to the roll-ups, but for the last p_lag_s seconds: an entry
-- with a lower number may still be uncommitted there. Returns how many entries it added.
CREATE FUNCTION ledger_roll_up(p_lag_s integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_from bigint;
    v_upto bigint;
    v_count bigint;
BEGIN
    INSERT INTO ledger_sweep (id, rolled_upto) VALUES (2, 0) ON CONFLICT DO NOTHING;
    SELECT rolled_upto INTO v_from FROM ledger_sweep WHERE id = 2 FOR UPDATE;
    SELECT id INTO v_upto FROM ledger_entry
        WHERE created_at < clock_timestamp() - make_interval(secs => greatest(p_lag_s, 0))
        ORDER BY id DESC LIMIT 1;
    IF v_upto IS NULL OR v_upto <= v_from THEN RETURN 0; END IF;
    WITH added AS (
        SELECT e.account_id, sum(e.amount) AS amount, count(*) AS count
        FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
        WHERE e.id > v_from AND e.id <= v_upto AND a.floor IS NULL GROUP BY e.account_id
    ), written AS (
        INSERT INTO ledger_rollup AS t (account_id, posted)
        SELECT account_id, amount FROM added ORDER BY account_id
        ON CONFLICT (account_id) DO UPDATE SET posted = t.posted + excluded.posted
    )
    SELECT coalesce(sum(count), 0) INTO v_count FROM added;
    UPDATE ledger_sweep SET rolled_upto = v_upto WHERE id = 2;
    RETURN v_count;
END $$;

-- The balance of any account now.
CREATE FUNCTION ledger_balance(p_account uuid) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN a.floor IS NOT NULL THEN a.posted ELSE
        coalesce((SELECT posted FROM ledger_rollup WHERE account_id = a.id), 0) + (
            SELECT coalesce(sum(amount), 0)::bigint FROM ledger_entry
            WHERE account_id = a.id
                AND id > coalesce((SELECT rolled_upto FROM ledger_sweep WHERE id = 2), 0))
    END FROM ledger_account a WHERE a.id = p_account
$$;
