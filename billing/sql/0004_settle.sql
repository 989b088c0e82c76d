-- Settling for the request path: the ledger's charge, the facts it was computed from, the request's
-- row and the day's sums; one call, one commit, before the last byte leaves. A bill is an object:
--   id, txn, charge, to (the account that earns), and the request's columns: paywall, live, user,
--   key, status, policy, model, connection, rate, feature, run, streamed, http_status, error_code,
--   usage, usage_source, cost (what it should have charged), provider_cost, first_byte_ms,
--   duration_ms, attempts, zone, trial.
-- The answer: id, state (as of ledger_settle), charged, available.

-- Writes what stands beside the ledger for bills that were settled or released just now.
CREATE FUNCTION billing_record(p_bills jsonb, p_results jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    WITH done AS MATERIALIZED (
        SELECT b.*, r.state, r.charged
        FROM jsonb_to_recordset(p_bills) AS b (
            id uuid, txn uuid, paywall uuid, live boolean, "user" uuid, key uuid, status text,
            policy text, model text, connection uuid, rate uuid, feature text, run text,
            streamed boolean, http_status smallint, error_code text, usage jsonb,
            usage_source text, charge bigint, provider_cost bigint, first_byte_ms integer,
            duration_ms integer, attempts jsonb, zone text, trial boolean)
        JOIN jsonb_to_recordset(p_results) AS r (id uuid, state text, charged bigint)
            ON r.id = b.id
    ), late AS (
        INSERT INTO billing_writeoff (request_id, paywall_id, nanos, reason, created_at)
        SELECT id, paywall, greatest(charge - charged, 0), 'late', v_now FROM done
        WHERE state = 'late' AND charge > charged
    ), facts AS (
        INSERT INTO billing_charge (
            transaction_id, request_id, paywall_id, user_id, key_id, rate_id, model, usage,
            usage_source, policy, charged, provider_cost, created_at
        )
        SELECT txn, id, paywall, "user", key, rate, model, usage, usage_source, policy, charged,
            provider_cost, v_now
        FROM done WHERE state = 'settled'
    ), logged AS (
        INSERT INTO billing_request (
            id, paywall_id, livemode, user_id, key_id, status, policy, model, connection_id,
            rate_id, feature, run, streamed, http_status, error_code, usage, usage_source, charged,
            written_off, provider_cost, transaction_id, first_byte_ms, duration_ms, attempts,
            created_at, finished_at
        )
        SELECT id, paywall, live, "user", key, status, policy, model, connection, rate, feature,
            run, streamed, http_status, error_code, usage, usage_source, charged,
            greatest(charge - charged, 0), provider_cost,
            CASE WHEN state = 'settled' THEN txn END, first_byte_ms, duration_ms, attempts,
            v_now - make_interval(secs => duration_ms / 1000.0), v_now
        FROM done WHERE state IN ('settled', 'released')
    ), restored AS (
        UPDATE paywalls_enduser u SET trial_requests_left = trial_requests_left + d.count
        FROM (
            SELECT "user", count(*) AS count FROM done
            WHERE trial AND status = 'failed' AND state = 'released' GROUP BY "user"
        ) d WHERE u.id = d."user"
    )
    INSERT INTO billing_daily AS t (
        user_id, day, model, paywall_id, livemode, requests, failures, prompt_tokens,
        completion_tokens, charged, provider_cost
    )
    SELECT "user", (v_now AT TIME ZONE zone)::date, model, paywall, live, count(*),
        count(*) FILTER (WHERE status = 'failed'),
        coalesce(sum((usage ->> 'prompt')::bigint), 0),
        coalesce(sum((usage ->> 'completion')::bigint), 0), sum(charged), sum(provider_cost)
    FROM done WHERE state IN ('settled', 'released') GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3
    ON CONFLICT (user_id, day, model) DO UPDATE SET
        requests = t.requests + excluded.requests,
        failures = t.failures + excluded.failures,
        prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = t.completion_tokens + excluded.completion_tokens,
        charged = t.charged + excluded.charged,
        provider_cost = t.provider_cost + excluded.provider_cost;
END $$;

-- One bill: the same rows as billing_record writes for many, by plain statements (a third of the
-- time of a set-based one for a single row).
CREATE FUNCTION billing_settle_one(p_bill jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id uuid := p_bill ->> 'id';
    v_txn uuid := p_bill ->> 'txn';
    v_charge bigint := p_bill ->> 'charge';
    v_paywall uuid := p_bill ->> 'paywall';
    v_user uuid := p_bill ->> 'user';
    v_key uuid := p_bill ->> 'key';
    v_rate uuid := p_bill ->> 'rate';
    v_model text := p_bill ->> 'model';
    v_status text := p_bill ->> 'status';
    v_usage jsonb := p_bill -> 'usage';
    v_source text := p_bill ->> 'usage_source';
    v_cost bigint := p_bill ->> 'provider_cost';
    v_live boolean := p_bill ->> 'live';
    v_duration integer := p_bill ->> 'duration_ms';
    v_now timestamptz := clock_timestamp();
    v_done record;
BEGIN
    v_done := ledger_settle(
        v_id, v_txn, v_charge, (p_bill ->> 'to')::uuid, 'charge', p_bill ->> 'id', NULL);
    IF v_done.o_state = 'late' AND v_charge > v_done.o_charged THEN
        INSERT INTO billing_writeoff (request_id, paywall_id, nanos, reason, created_at)
            VALUES (v_id, v_paywall, v_charge - v_done.o_charged, 'late', v_now);
    END IF;
    IF v_done.o_state = 'settled' THEN
        INSERT INTO billing_charge (
            transaction_id, request_id, paywall_id, user_id, key_id, rate_id, model, usage,
            usage_source, policy, charged, provider_cost, created_at
        ) VALUES (
            v_txn, v_id, v_paywall, v_user, v_key, v_rate, v_model, v_usage, v_source,
            p_bill ->> 'policy', v_done.o_charged, v_cost, v_now);
    END IF;
    IF v_done.o_state IN ('settled', 'released') THEN
        INSERT INTO billing_request (
            id, paywall_id, livemode, user_id, key_id, status, policy, model, connection_id,
            rate_id, feature, run, streamed, http_status, error_code, usage, usage_source, charged,
            written_off, provider_cost, transaction_id, first_byte_ms, duration_ms, attempts,
            created_at, finished_at
        ) VALUES (
            v_id, v_paywall, v_live, v_user, v_key, v_status, p_bill ->> 'policy', v_model,
            (p_bill ->> 'connection')::uuid, v_rate, p_bill ->> 'feature', p_bill ->> 'run',
            (p_bill ->> 'streamed')::boolean, (p_bill ->> 'http_status')::smallint,
            p_bill ->> 'error_code', v_usage, v_source, v_done.o_charged,
            greatest(v_charge - v_done.o_charged, 0), v_cost,
            CASE WHEN v_done.o_state = 'settled' THEN v_txn END,
            (p_bill ->> 'first_byte_ms')::integer, v_duration, p_bill -> 'attempts',
            v_now - make_interval(secs => v_duration / 1000.0), v_now);
        INSERT INTO billing_daily AS t (
            user_id, day, model, paywall_id, livemode, requests, failures, prompt_tokens,
            completion_tokens, charged, provider_cost
        ) VALUES (
            v_user, (v_now AT TIME ZONE (p_bill ->> 'zone'))::date, v_model, v_paywall, v_live, 1,
            (v_status = 'failed')::integer, coalesce((v_usage ->> 'prompt')::bigint, 0),
            coalesce((v_usage ->> 'completion')::bigint, 0), v_done.o_charged, v_cost
        ) ON CONFLICT (user_id, day, model) DO UPDATE SET
            requests = t.requests + 1,
            failures = t.failures + excluded.failures,
            prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
            completion_tokens = t.completion_tokens + excluded.completion_tokens,
            charged = t.charged + excluded.charged,
            provider_cost = t.provider_cost + excluded.provider_cost;
        IF v_status = 'failed' AND v_done.o_state = 'released'
            AND (p_bill ->> 'trial')::boolean
        THEN
            UPDATE paywalls_enduser SET trial_requests_left = trial_requests_left + 1
                WHERE id = v_user;
        END IF;
    END IF;
    RETURN jsonb_build_object('id', v_id, 'state', v_done.o_state, 'charged', v_done.o_charged,
        'available', v_done.o_available);
END $$;

-- Many bills, one commit: the plain ones set-based, the rest one by one.
CREATE FUNCTION billing_settle_many(p_bills jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_ids uuid[];
    v_txns uuid[];
    v_charges bigint[];
    v_to uuid[];
    v_results jsonb;
    v_bill record;
    v_done record;
BEGIN
    SELECT array_agg(id), array_agg(txn), array_agg(charge), array_agg("to")
        INTO v_ids, v_txns, v_charges, v_to
        FROM jsonb_to_recordset(p_bills) AS b (id uuid, txn uuid, charge bigint, "to" uuid);
    SELECT coalesce(jsonb_agg(jsonb_build_object('id', o_hold, 'state', 'settled',
        'charged', o_charged, 'available', o_available)), '[]') INTO v_results
        FROM ledger_settle_many(v_ids, v_txns, v_charges, v_to, 'charge');
    IF jsonb_array_length(v_results) < array_length(v_ids, 1) THEN
        PERFORM ledger_holds_lock(v_ids);
        FOR v_bill IN
            SELECT b.id, b.txn, b.charge, b."to"
            FROM jsonb_to_recordset(p_bills) AS b (id uuid, txn uuid, charge bigint, "to" uuid)
            WHERE NOT EXISTS (
                SELECT FROM jsonb_array_elements(v_results) WHERE (value ->> 'id')::uuid = b.id)
            ORDER BY b.id
        LOOP
            v_done := ledger_settle(
                v_bill.id, v_bill.txn, v_bill.charge, v_bill."to", 'charge', v_bill.id::text, NULL);
            v_results := v_results || jsonb_build_object('id', v_bill.id,
                'state', v_done.o_state, 'charged', v_done.o_charged,
                'available', v_done.o_available);
        END LOOP;
    END IF;
    PERFORM billing_record(p_bills, v_results);
    RETURN v_results;
END $$;

-- Ends the holds whose process no longer renews them, by the database's clock: delivered output is
-- charged from the last checkpoint, the rest is released. After an outage of its own (no sweep for
-- longer than a lease) it spares everything for one lease, so that living processes can renew.
-- Returns the ids it ended. One reaper at a time; a second returns at once. A hold that cannot be
-- ended is told of and left, so that it keeps nobody else's money.
CREATE FUNCTION billing_reap(p_lease_s integer, p_most integer) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_lease interval := make_interval(secs => p_lease_s);
    v_sweep ledger_sweep;
    v_hold ledger_hold;
    v_ids uuid[];
    v_delivered boolean;
    v_done jsonb;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('billing_reap')) THEN RETURN; END IF;
    INSERT INTO ledger_sweep (id, rolled_upto) VALUES (1, 0) ON CONFLICT DO NOTHING;
    SELECT * INTO v_sweep FROM ledger_sweep WHERE id = 1 FOR UPDATE;
    IF v_sweep.last_at < v_now - v_lease OR pg_postmaster_start_time() > v_now - v_lease THEN
        v_sweep.grace_until := greatest(v_sweep.grace_until,
            CASE WHEN v_sweep.last_at < v_now - v_lease THEN v_now
                ELSE pg_postmaster_start_time() END + v_lease);
    END IF;
    UPDATE ledger_sweep SET last_at = v_now, grace_until = v_sweep.grace_until WHERE id = 1;
    IF v_sweep.grace_until > v_now THEN RETURN; END IF;
    v_ids := ARRAY(
        SELECT id FROM ledger_hold WHERE state = 0 AND lease_until < v_now ORDER BY id LIMIT p_most);
    PERFORM ledger_holds_lock(v_ids);
    FOR v_hold IN
        SELECT * FROM ledger_hold
        WHERE id = ANY (v_ids) AND state = 0 AND lease_until < v_now ORDER BY id
    LOOP
        BEGIN
            v_delivered := coalesce((v_hold.progress ->> 'delivered')::boolean, false);
            v_done := billing_settle_one(
                '{"connection": null, "rate": null, "feature": "", "run": "", "streamed": false,
                  "attempts": [], "model": "", "http_status": 200, "key": null,
                  "trial": false}'::jsonb
                || coalesce(v_hold.facts, '{}')
                || jsonb_build_object(
                    'id', v_hold.id, 'txn', ledger_uuid7(),
                    'charge', CASE WHEN v_delivered
                        THEN (v_hold.progress ->> 'charge')::bigint ELSE 0 END,
                    'provider_cost', coalesce((v_hold.progress ->> 'provider_cost')::bigint, 0),
                    'usage', coalesce(v_hold.progress -> 'usage', '{}'),
                    'usage_source', CASE WHEN v_delivered THEN 'estimated' ELSE 'none' END,
                    'status', CASE WHEN v_delivered THEN 'recovered' ELSE 'failed' END,
                    'policy', CASE WHEN v_delivered
                        THEN 'recovered_partial' ELSE 'lease_expired' END,
                    'error_code', 'process_lost', 'first_byte_ms', NULL,
                    'duration_ms', (extract(epoch FROM v_now - v_hold.created_at) * 1000)::integer));
            IF v_done ->> 'state' IN ('settled', 'released') THEN RETURN NEXT v_hold.id; END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'hold % cannot be ended: % (%)', v_hold.id, SQLERRM, SQLSTATE;
        END;
    END LOOP;
END $$;
