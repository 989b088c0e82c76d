-- What pages show of a paywall, added up by a worker: nothing here is on a request's way.

-- The sums of a paywall's days by model, from the sums of its users' days. Adds up again whatever
-- may have changed since the last run, so that a run may come late, twice or not at all. One at a
-- time; a second returns at once. Returns how many rows changed, or null when another one runs.
CREATE FUNCTION billing_roll_up() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_from date;
    v_count bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('billing_roll_up')) THEN RETURN NULL; END IF;
    -- Only a paywall's present day changes. Somewhere it may still be yesterday, and a booking may
    -- be an hour old when it becomes visible.
    SELECT ((rolled_at - interval '1 hour') AT TIME ZONE 'UTC')::date - 1 INTO v_from
        FROM billing_rollup WHERE id = 1;
    INSERT INTO billing_paywallday AS t (
        paywall_id, livemode, day, model, requests, failures, prompt_tokens, completion_tokens,
        charged, provider_cost
    )
    SELECT paywall_id, livemode, day, model, sum(requests), sum(failures), sum(prompt_tokens),
        sum(completion_tokens), sum(charged), sum(provider_cost)
    FROM billing_daily WHERE day >= coalesce(v_from, '-infinity')
    GROUP BY 1, 2, 3, 4
    ON CONFLICT (paywall_id, livemode, day, model) DO UPDATE SET
        requests = excluded.requests,
        failures = excluded.failures,
        prompt_tokens = excluded.prompt_tokens,
        completion_tokens = excluded.completion_tokens,
        charged = excluded.charged,
        provider_cost = excluded.provider_cost
    WHERE (t.requests, t.prompt_tokens, t.completion_tokens, t.charged, t.provider_cost)
        IS DISTINCT FROM (excluded.requests, excluded.prompt_tokens, excluded.completion_tokens,
            excluded.charged, excluded.provider_cost);
    GET DIAGNOSTICS v_count = ROW_COUNT;
    INSERT INTO billing_rollup (id, rolled_at) VALUES (1, v_now)
        ON CONFLICT (id) DO UPDATE SET rolled_at = excluded.rolled_at;
    RETURN v_count;
END $$;

-- How many users were active in a paywall's last 1, 7, 30 and 90 days, and who spent the most:
-- [[user, nanos, requests], …]. Returns how many rankings there are, or null when another one runs.
CREATE FUNCTION billing_rank(p_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_count bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('billing_rank')) THEN RETURN NULL; END IF;
    WITH today AS MATERIALIZED (
        -- A zone that only Python knows must not end everybody's ranking.
        SELECT w.id, (v_now AT TIME ZONE coalesce(z.name, 'UTC'))::date AS day
        FROM paywalls_paywall w LEFT JOIN pg_timezone_names z ON z.name = w.timezone
    ), spent AS (
        SELECT d.paywall_id, d.livemode, d.user_id,
            sum(d.charged) FILTER (WHERE d.day > t.day - 1) AS charged_1,
            sum(d.requests) FILTER (WHERE d.day > t.day - 1) AS requests_1,
            sum(d.charged) FILTER (WHERE d.day > t.day - 7) AS charged_7,
            sum(d.requests) FILTER (WHERE d.day > t.day - 7) AS requests_7,
            sum(d.charged) FILTER (WHERE d.day > t.day - 30) AS charged_30,
            sum(d.requests) FILTER (WHERE d.day > t.day - 30) AS requests_30,
            sum(d.charged) AS charged_90, sum(d.requests) AS requests_90
        FROM billing_daily d JOIN today t ON t.id = d.paywall_id
        WHERE d.day > t.day - 90 AND d.day > (v_now AT TIME ZONE 'UTC')::date - 92
        GROUP BY d.paywall_id, d.livemode, d.user_id
    ), placed AS (
        SELECT s.paywall_id, s.livemode, s.user_id, span.days, span.charged, span.requests,
            row_number() OVER (PARTITION BY s.paywall_id, s.livemode, span.days
                ORDER BY span.charged DESC, s.user_id) AS place
        FROM spent s CROSS JOIN LATERAL (VALUES
            (1, charged_1, requests_1), (7, charged_7, requests_7),
            (30, charged_30, requests_30), (90, charged_90, requests_90)
        ) AS span (days, charged, requests)
        WHERE span.requests > 0
    )
    INSERT INTO billing_ranking (paywall_id, livemode, days, active_users, top, ranked_at)
    SELECT paywall_id, livemode, days, count(*),
        jsonb_agg(jsonb_build_array(user_id, charged, requests) ORDER BY place)
            FILTER (WHERE place <= p_most), v_now
    FROM placed GROUP BY 1, 2, 3
    ON CONFLICT (paywall_id, livemode, days) DO UPDATE SET
        active_users = excluded.active_users, top = excluded.top, ranked_at = excluded.ranked_at;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    DELETE FROM billing_ranking WHERE ranked_at < v_now;
    RETURN v_count;
END $$;

-- Requests that did not end whole are few, and looked for among many.
CREATE INDEX request_unwhole ON billing_request (paywall_id, id) WHERE status <> 'completed';
