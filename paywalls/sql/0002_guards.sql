-- What no program may do, whatever its bugs: change a paywall's mode or currency, change or remove
-- a row of the audit trail, of a price version, or of a resolved price.

CREATE FUNCTION paywalls_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows are never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER paywall_fixed BEFORE UPDATE ON paywalls_paywall
    FOR EACH ROW
    WHEN (OLD.mode IS DISTINCT FROM NEW.mode OR OLD.currency IS DISTINCT FROM NEW.currency)
    EXECUTE FUNCTION paywalls_refuse_change();

CREATE TRIGGER change_kept BEFORE UPDATE OR DELETE ON paywalls_change
    FOR EACH ROW EXECUTE FUNCTION paywalls_refuse_change();
CREATE TRIGGER change_kept_whole BEFORE TRUNCATE ON paywalls_change
    FOR EACH STATEMENT EXECUTE FUNCTION paywalls_refuse_change();

CREATE TRIGGER price_version_kept BEFORE UPDATE OR DELETE ON paywalls_priceversion
    FOR EACH ROW EXECUTE FUNCTION paywalls_refuse_change();
CREATE TRIGGER price_version_kept_whole BEFORE TRUNCATE ON paywalls_priceversion
    FOR EACH STATEMENT EXECUTE FUNCTION paywalls_refuse_change();

CREATE TRIGGER rate_kept BEFORE UPDATE OR DELETE ON paywalls_rate
    FOR EACH ROW EXECUTE FUNCTION paywalls_refuse_change();
CREATE TRIGGER rate_kept_whole BEFORE TRUNCATE ON paywalls_rate
    FOR EACH STATEMENT EXECUTE FUNCTION paywalls_refuse_change();
