-- Tells every process that what a paywall can reach has changed; see paywalls/sql/0003_notify.sql.

CREATE TRIGGER connection_notify AFTER INSERT OR DELETE ON providers_connection
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');

-- What a provider last refused with is written by requests and decides nothing.
CREATE TRIGGER connection_change_notify AFTER UPDATE ON providers_connection
    FOR EACH ROW
    WHEN ((to_jsonb(OLD) - 'trouble') IS DISTINCT FROM (to_jsonb(NEW) - 'trouble'))
    EXECUTE FUNCTION paywalls_notify_config('paywall_id');

-- A model of one connection concerns its paywall; a model of a kind concerns every paywall.
CREATE FUNCTION providers_notify_model() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    connection uuid := CASE TG_OP WHEN 'DELETE' THEN OLD.connection_id ELSE NEW.connection_id END;
BEGIN
    PERFORM pg_notify('paywalls_config', coalesce(
        (SELECT paywall_id::text FROM public.providers_connection WHERE id = connection), ''));
    RETURN NULL;
END $$;

CREATE TRIGGER model_notify AFTER INSERT OR DELETE ON providers_model
    FOR EACH ROW EXECUTE FUNCTION providers_notify_model();
CREATE TRIGGER model_change_notify AFTER UPDATE ON providers_model
    FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION providers_notify_model();
