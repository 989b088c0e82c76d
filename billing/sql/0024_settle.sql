-- A charge goes to the revenue of the paywall whose request it pays, or in Shared mode to the earnings of
-- its team, or nowhere (PW004). Otherwise as before.

-- One bill: the same rows as billing_record writes for many, by plain statements (a third of the
-- time of a set-based one for a single row).
CREATE OR REPLACE FUNCTION billing_settle_one(p_bill jsonb) RETURNS jsonb
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
    v_result jsonb;
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
        )
        SELECT v_txn, v_id, v_paywall, v_user, v_key, v_rate, v_model, v_usage, v_source,
            p_bill ->> 'policy', v_done.o_charged, v_cost, v_now
        FROM ledger_account a WHERE id = (p_bill ->> 'to')::uuid AND livemode = v_live
            AND (kind = 'revenue' AND owner = v_paywall
                OR kind = 'earnings_pending' AND EXISTS (
                    SELECT FROM paywalls_paywall w
                    WHERE w.id = v_paywall AND w.team_id = a.owner AND w.mode = 'shared'));
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a charge stays with its paywall' USING ERRCODE = 'PW004';
        END IF;
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
    v_result := jsonb_build_object('id', v_id, 'state', v_done.o_state,
        'charged', v_done.o_charged, 'available', v_done.o_available);
    IF (p_bill ->> 'tell')::boolean THEN
        PERFORM billing_events_settled(jsonb_build_array(p_bill), jsonb_build_array(v_result));
    END IF;
    RETURN v_result;
END $$;

-- Many bills, one commit: the plain ones set-based, the rest one by one.
CREATE OR REPLACE FUNCTION billing_settle_many(p_bills jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_ids uuid[];
    v_txns uuid[];
    v_charges bigint[];
    v_to uuid[];
    v_tell boolean;
    v_own boolean;
    v_results jsonb;
    v_bill record;
    v_done record;
BEGIN
    SELECT array_agg(b.id), array_agg(txn), array_agg(charge), array_agg("to"), bool_or(tell),
            bool_and(b.charge = 0 OR a.id IS NOT NULL)
        INTO v_ids, v_txns, v_charges, v_to, v_tell, v_own
        FROM jsonb_to_recordset(p_bills) AS b (
            id uuid, txn uuid, charge bigint, "to" uuid, paywall uuid, live boolean, tell boolean)
        LEFT JOIN ledger_account a ON a.id = b."to" AND a.livemode = b.live
            AND (a.kind = 'revenue' AND a.owner = b.paywall
                OR a.kind = 'earnings_pending' AND EXISTS (
                    SELECT FROM paywalls_paywall w
                    WHERE w.id = b.paywall AND w.team_id = a.owner AND w.mode = 'shared'));
    IF NOT v_own THEN
        RAISE EXCEPTION 'a charge stays with its paywall' USING ERRCODE = 'PW004';
    END IF;
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
    IF v_tell THEN PERFORM billing_events_settled(p_bills, v_results); END IF;
    RETURN v_results;
END $$;
