-- Sums over many rows have no end that one tenant could reach for all: the roll-up's column is
-- numeric since this migration, and so is the balance that is read from it.

CREATE FUNCTION ledger_total(p_account uuid) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN a.floor IS NOT NULL THEN a.posted ELSE
        coalesce((SELECT posted FROM ledger_rollup WHERE account_id = a.id), 0) + (
            SELECT coalesce(sum(amount), 0) FROM ledger_entry
            WHERE account_id = a.id
                AND id > coalesce((SELECT rolled_upto FROM ledger_sweep WHERE id = 2), 0))
    END FROM ledger_account a WHERE a.id = p_account
$$;
