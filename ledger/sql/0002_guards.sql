-- What the database itself refuses: edited history, and money from nowhere.

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- The sum is checked over what one statement inserts, all at once: cheaper than a deferred trigger
-- for each row, and stricter, because an unbalanced transaction never exists, not even unseen.
-- Legs that a later statement adds to an old transaction must balance by themselves.
CREATE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added GROUP BY transaction_id HAVING sum(amount) <> 0 OR count(*) < 2
    ) THEN
        RAISE EXCEPTION 'entries of a transaction do not balance' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER entry_balanced AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced();

CREATE TRIGGER entry_kept BEFORE UPDATE OR DELETE ON ledger_entry
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER entry_not_truncated BEFORE TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER transaction_kept BEFORE UPDATE OR DELETE ON ledger_transaction
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER transaction_not_truncated BEFORE TRUNCATE ON ledger_transaction
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER hold_kept BEFORE DELETE ON ledger_hold
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER hold_not_truncated BEFORE TRUNCATE ON ledger_hold
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER account_kept BEFORE DELETE ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER account_not_truncated BEFORE TRUNCATE ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

-- A hold ends once: settled or released it never changes again.
CREATE FUNCTION ledger_hold_ends_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'hold % has already ended', OLD.id USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER hold_ends_once BEFORE UPDATE ON ledger_hold
    FOR EACH ROW WHEN (OLD.state <> 0) EXECUTE FUNCTION ledger_hold_ends_once();

-- Rows that change in place leave room on their page, so that updates stay on it (HOT).
ALTER TABLE ledger_account SET (fillfactor = 50);
ALTER TABLE ledger_hold SET (fillfactor = 70);
ALTER TABLE ledger_counter SET (fillfactor = 50);
