-- Tells every process that a paywall's configuration changed: channel `paywalls_config`, payload
-- the paywall's id as text. An empty payload (the column is null) means every paywall.
--
-- A trigger on any table can use it: its argument names the column with the paywall's id.
--     CREATE TRIGGER connection_notify AFTER INSERT OR UPDATE OR DELETE ON providers_connection
--         FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');
--
-- PostgreSQL sends at commit, and equal payloads of one transaction once.

CREATE FUNCTION paywalls_notify_config() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('paywalls_config', coalesce(to_jsonb(OLD) ->> TG_ARGV[0], ''));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('paywalls_config', coalesce(to_jsonb(NEW) ->> TG_ARGV[0], ''));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER paywall_notify AFTER INSERT OR UPDATE OR DELETE ON paywalls_paywall
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('id');
CREATE TRIGGER price_version_notify AFTER INSERT ON paywalls_priceversion
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');
CREATE TRIGGER limit_notify AFTER INSERT OR UPDATE OR DELETE ON paywalls_limit
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');
CREATE TRIGGER message_notify AFTER INSERT OR UPDATE OR DELETE ON paywalls_messagetemplate
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');
CREATE TRIGGER alias_notify AFTER INSERT OR UPDATE OR DELETE ON paywalls_modelalias
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');

-- When a key was last used is written often and decides nothing.
CREATE TRIGGER key_notify AFTER INSERT OR DELETE ON paywalls_apikey
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');
CREATE TRIGGER key_change_notify AFTER UPDATE ON paywalls_apikey
    FOR EACH ROW
    WHEN ((to_jsonb(OLD) - 'last_used_at') IS DISTINCT FROM (to_jsonb(NEW) - 'last_used_at'))
    EXECUTE FUNCTION paywalls_notify_config('paywall_id');
