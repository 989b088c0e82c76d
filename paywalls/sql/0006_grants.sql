-- What no program may do with what people allowed: bring a withdrawn grant back, give it to somebody
-- else, or forget it.

CREATE TRIGGER grant_fixed BEFORE UPDATE ON paywalls_grant
    FOR EACH ROW
    WHEN (OLD.revoked_at IS NOT NULL OR (OLD.paywall_id, OLD.end_user_id, OLD.person_id, OLD.livemode)
        IS DISTINCT FROM (NEW.paywall_id, NEW.end_user_id, NEW.person_id, NEW.livemode))
    EXECUTE FUNCTION paywalls_refuse_change();
CREATE TRIGGER grant_kept BEFORE DELETE ON paywalls_grant
    FOR EACH ROW EXECUTE FUNCTION paywalls_refuse_change();
CREATE TRIGGER grant_kept_whole BEFORE TRUNCATE ON paywalls_grant
    FOR EACH STATEMENT EXECUTE FUNCTION paywalls_refuse_change();
