-- Events out: what happened, told to those who asked for it.
--
-- An event and its deliveries are rows of the transaction that made it true. `billing_events_put` is
-- the only way in, and writes nothing where nobody listens. An event keeps bare ids and nanos
-- (`facts`); names, decimals and the user's own id are put in when it is sent, so that erasing a
-- user erases them here too. Both tables go by month, with a retention.

CREATE TABLE billing_event (
    id uuid PRIMARY KEY,
    paywall_id uuid NOT NULL,
    livemode boolean NOT NULL,
    type varchar(64) NOT NULL,
    user_id uuid,
    source varchar(16) NOT NULL,
    actor varchar(100) NOT NULL,
    facts jsonb NOT NULL,
    created_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX event_of_paywall ON billing_event (paywall_id, id);
CREATE TABLE billing_event_default PARTITION OF billing_event DEFAULT;

CREATE TABLE billing_delivery (
    id uuid PRIMARY KEY,
    event_id uuid NOT NULL,
    subscription_id uuid NOT NULL,
    paywall_id uuid NOT NULL,
    type varchar(64) NOT NULL,
    status varchar(8) NOT NULL CHECK (status IN ('pending', 'success', 'error')),
    attempts smallint NOT NULL,
    due_at timestamptz NOT NULL,
    last_attempt_at timestamptz,
    response_code smallint,
    latency_ms integer,
    error varchar(200) NOT NULL,
    response varchar(1024) NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX delivery_due ON billing_delivery (subscription_id, due_at) WHERE status = 'pending';
CREATE INDEX delivery_of_paywall ON billing_delivery (paywall_id, id);
CREATE TABLE billing_delivery_default PARTITION OF billing_delivery DEFAULT;

-- A delivery with all that its body is made from.
CREATE VIEW billing_delivery_full AS
    SELECT d.*, e.livemode, e.user_id, e.source, e.actor, e.facts, e.created_at AS happened_at,
        u.external_id, o.user_id AS owner_id,
        CASE WHEN e.type LIKE 'paywall.proxy.request.%' THEN e.facts ->> 'requestId' END AS request_id
    FROM billing_delivery d
    JOIN billing_event e ON e.id = d.event_id
    LEFT JOIN paywalls_enduser u ON u.id = e.user_id
    LEFT JOIN LATERAL (
        SELECT m.user_id FROM paywalls_paywall w JOIN paywalls_membership m ON m.team_id = w.team_id
        WHERE w.id = d.paywall_id AND m.role = 'owner' ORDER BY m.id LIMIT 1
    ) o ON true;

-- Partitions for this month and p_ahead more; those that ended more than p_keep_days ago go.
-- Returns the names of those it made and dropped.
CREATE FUNCTION billing_event_partitions(p_ahead integer, p_keep_days integer) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    v_table text;
    v_month timestamptz;
    v_name text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['billing_delivery', 'billing_event'] LOOP
        FOR v_step IN -1 .. p_ahead LOOP
            v_month := date_trunc('month', clock_timestamp()) + make_interval(months => v_step);
            v_name := v_table || '_' || to_char(v_month, 'YYYY_MM');
            CONTINUE WHEN v_month + interval '1 month'
                < clock_timestamp() - make_interval(days => p_keep_days);
            IF to_regclass(v_name) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                    v_name, v_table, billing_uuid_floor(v_month),
                    billing_uuid_floor(v_month + interval '1 month'));
                RETURN NEXT v_name;
            END IF;
        END LOOP;
        FOR v_name IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = v_table::regclass AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
                AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
                    < clock_timestamp() - make_interval(days => p_keep_days)
            ORDER BY c.relname
        LOOP
            EXECUTE format('DROP TABLE %I', v_name);
            RETURN NEXT v_name;
        END LOOP;
    END LOOP;
    DELETE FROM billing_eventmark
        WHERE created_at < clock_timestamp() - make_interval(days => p_keep_days);
END $$;

SELECT billing_event_partitions(6, 90);

-- Whether a subscription's patterns name a type: itself, a prefix with `.*`, or `*`.
CREATE FUNCTION billing_event_wanted(p_type text, p_patterns jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_patterns ? '*' OR p_patterns ? p_type OR EXISTS (
        SELECT FROM jsonb_array_elements_text(p_patterns) AS p (pattern)
        WHERE right(pattern, 2) = '.*' AND starts_with(p_type, left(pattern, -1)))
$$;

-- Tells events to the active subscriptions that want them, in the caller's transaction; returns how
-- many deliveries that makes. An event is an object: paywall, live, type, user or null, source,
-- actor, facts; id (null: made here), under which it is told once; once (null: always), a mark under
-- which it is told once until the mark is taken away.
CREATE FUNCTION billing_events_put(p_events jsonb) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_told integer;
BEGIN
    IF p_events IS NULL OR p_events = '[]' THEN RETURN 0; END IF;
    WITH asked AS MATERIALIZED (
        SELECT coalesce(e.id, ledger_uuid7()) AS id, e.paywall, e.live, e.type, e."user", e.source,
            e.actor, e.facts, e.once, row_number() OVER (PARTITION BY e.paywall, e.once) AS nth
        FROM jsonb_to_recordset(p_events) AS e (
            id uuid, paywall uuid, live boolean, type text, "user" uuid, source text, actor text,
            facts jsonb, once text)
    ), wanted AS MATERIALIZED (
        SELECT a.*, s.id AS subscription FROM asked a
        JOIN billing_subscription s ON s.paywall_id = a.paywall AND s.is_active
        WHERE billing_event_wanted(a.type, s.events) AND (a.once IS NULL OR a.nth = 1)
    ), marked AS (
        INSERT INTO billing_eventmark (paywall_id, mark, created_at)
        SELECT DISTINCT paywall, once, v_now FROM wanted WHERE once IS NOT NULL ORDER BY 1, 2
        ON CONFLICT DO NOTHING RETURNING paywall_id, mark
    ), told AS (
        INSERT INTO billing_event (
            id, paywall_id, livemode, type, user_id, source, actor, facts, created_at
        )
        SELECT DISTINCT ON (w.id) w.id, w.paywall, w.live, w.type, w."user",
            coalesce(w.source, 'system'), coalesce(w.actor, ''), coalesce(w.facts, '{}'), v_now
        FROM wanted w
        WHERE w.once IS NULL
            OR EXISTS (SELECT FROM marked m WHERE m.paywall_id = w.paywall AND m.mark = w.once)
        ON CONFLICT DO NOTHING RETURNING id
    )
    INSERT INTO billing_delivery (
        id, event_id, subscription_id, paywall_id, type, status, attempts, due_at, error, response,
        created_at, updated_at
    )
    SELECT ledger_uuid7(), w.id, w.subscription, w.paywall, w.type, 'pending', 0, v_now, '', '',
        v_now, v_now
    FROM wanted w JOIN told t ON t.id = w.id;
    GET DIAGNOSTICS v_told = ROW_COUNT;
    RETURN v_told;
END $$;

-- One event of the paywall, mode and key that a money object names (p: paywall, live, key, actor).
CREATE FUNCTION billing_event_of(
    p jsonb, p_type text, p_user uuid, p_facts jsonb, p_once text DEFAULT NULL
) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object(
        'paywall', p -> 'paywall', 'live', p -> 'live', 'type', p_type, 'user', p_user,
        'source', coalesce(p ->> 'source', 'api'),
        'actor', coalesce(nullif(p ->> 'actor', ''), p ->> 'key', ''),
        'facts', p_facts, 'once', p_once)
$$;

-- Claims up to p_most due deliveries, at most p_each of one subscription (one while it fails) and
-- none of those in p_busy, and returns them whole. A claim ends by itself: the delivery is due again
-- after p_lease_s, with the attempt counted.
CREATE FUNCTION billing_deliveries_claim(
    p_most integer, p_each integer, p_lease_s integer, p_busy uuid[]
) RETURNS SETOF jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_ids uuid[];
BEGIN
    WITH RECURSIVE waiting AS (
        (SELECT subscription_id AS id FROM billing_delivery WHERE status = 'pending'
            ORDER BY subscription_id LIMIT 1)
        UNION ALL
        SELECT (SELECT d.subscription_id FROM billing_delivery d
            WHERE d.status = 'pending' AND d.subscription_id > w.id
            ORDER BY d.subscription_id LIMIT 1)
        FROM waiting w WHERE w.id IS NOT NULL
    ), ready AS (
        SELECT s.id, CASE WHEN s.consecutive_failures > 0 THEN 1 ELSE p_each END AS each
        FROM waiting w JOIN billing_subscription s ON s.id = w.id
        WHERE s.id <> ALL (p_busy) ORDER BY random()
    ), due AS (
        SELECT d.id FROM ready r CROSS JOIN LATERAL (
            SELECT id FROM billing_delivery
            WHERE subscription_id = r.id AND status = 'pending' AND due_at <= v_now
            ORDER BY due_at LIMIT r.each FOR NO KEY UPDATE SKIP LOCKED
        ) d LIMIT p_most
    ), claimed AS (
        UPDATE billing_delivery SET attempts = attempts + 1, last_attempt_at = v_now,
            due_at = v_now + make_interval(secs => p_lease_s), updated_at = v_now
        WHERE id IN (SELECT id FROM due) AND status = 'pending' RETURNING id
    )
    SELECT array_agg(id) INTO v_ids FROM claimed;
    RETURN QUERY
        SELECT to_jsonb(f) || jsonb_build_object(
            'kind', s.kind, 'url', s.url, 'headers', s.headers, 'failures', s.consecutive_failures,
            'secret', encode(s.sealed_secret, 'base64'),
            'previous', CASE WHEN s.previous_until > v_now
                THEN encode(s.sealed_previous, 'base64') END,
            'request', CASE WHEN s.kind = 'posthog' THEN (
                SELECT to_jsonb(r) FROM billing_request r WHERE r.id = f.request_id::uuid) END)
        FROM billing_delivery_full f JOIN billing_subscription s ON s.id = f.subscription_id
        WHERE f.id = ANY (v_ids) ORDER BY f.id;
END $$;

-- Whether anything could be claimed now.
CREATE FUNCTION billing_deliveries_due() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM billing_delivery WHERE status = 'pending' AND due_at <= clock_timestamp())
$$;

-- Records how an attempt went. p: id, attempts (as claimed), status (pending: to be tried again in
-- retry_s), code, latency_ms, error, response, patience_days, failures_least. Returns whether the
-- subscription has had nothing but failures for so long that it should end. An attempt that somebody
-- else recorded, or claimed again, is left as it is.
CREATE FUNCTION billing_delivery_record(p jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_subscription uuid;
    v_hopeless boolean;
BEGIN
    UPDATE billing_delivery SET status = p ->> 'status', response_code = (p ->> 'code')::smallint,
        latency_ms = (p ->> 'latency_ms')::integer, error = p ->> 'error',
        response = p ->> 'response', updated_at = v_now,
        due_at = v_now + make_interval(secs => coalesce((p ->> 'retry_s')::float8, 0))
        WHERE id = (p ->> 'id')::uuid AND status = 'pending'
            AND attempts = (p ->> 'attempts')::smallint
        RETURNING subscription_id INTO v_subscription;
    IF NOT FOUND THEN RETURN false; END IF;
    IF p ->> 'status' = 'success' THEN
        -- A busy receiver's row is not rewritten by each delivery.
        UPDATE billing_subscription SET consecutive_failures = 0, first_failure_at = NULL,
            last_delivered_at = v_now
            WHERE id = v_subscription AND (consecutive_failures > 0 OR last_delivered_at IS NULL
                OR last_delivered_at < v_now - interval '1 second');
        RETURN false;
    END IF;
    UPDATE billing_subscription SET consecutive_failures = consecutive_failures + 1,
        first_failure_at = coalesce(first_failure_at, v_now)
        WHERE id = v_subscription AND is_active
        RETURNING consecutive_failures >= (p ->> 'failures_least')::integer AND first_failure_at
            < v_now - make_interval(days => (p ->> 'patience_days')::integer) INTO v_hopeless;
    RETURN coalesce(v_hopeless, false);
END $$;

-- Processes drop what they know of a paywall when its subscriptions change; how deliveries go is
-- written often and changes nothing.
CREATE TRIGGER subscription_notify AFTER INSERT OR DELETE ON billing_subscription
    FOR EACH ROW EXECUTE FUNCTION paywalls_notify_config('paywall_id');
CREATE TRIGGER subscription_change_notify AFTER UPDATE ON billing_subscription
    FOR EACH ROW
    WHEN ((OLD.events, OLD.is_active, OLD.url, OLD.sealed_secret)
        IS DISTINCT FROM (NEW.events, NEW.is_active, NEW.url, NEW.sealed_secret))
    EXECUTE FUNCTION paywalls_notify_config('paywall_id');
