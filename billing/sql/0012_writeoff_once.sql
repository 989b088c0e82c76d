-- A settlement that came too late is written off once, however often it is tried again. Tries of one
-- request come one after the other: each locks the wallet first.

CREATE INDEX writeoff_of_request ON billing_writeoff (request_id);

CREATE FUNCTION billing_writeoff_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN NOT EXISTS (
        SELECT FROM billing_writeoff WHERE request_id = NEW.request_id AND reason = NEW.reason
    ) THEN NEW END;
END $$;

CREATE TRIGGER writeoff_once BEFORE INSERT ON billing_writeoff
    FOR EACH ROW EXECUTE FUNCTION billing_writeoff_once();
