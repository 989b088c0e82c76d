-- As in 0004; a Shared charge is shared also where nobody was left to settle it.
CREATE OR REPLACE FUNCTION billing_reap(p_lease_s integer, p_most integer) RETURNS SETOF uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_lease interval := make_interval(secs => p_lease_s);
    v_sweep ledger_sweep;
    v_hold ledger_hold;
    v_ids uuid[];
    v_delivered boolean;
    v_bill jsonb;
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
            v_bill := '{"connection": null, "rate": null, "feature": "", "run": "", "streamed": false,
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
                    'duration_ms', (extract(epoch FROM v_now - v_hold.created_at) * 1000)::integer);
            v_done := CASE WHEN v_hold.facts ? 'parties'
                THEN billing_shared_settle_one(v_bill) ELSE billing_settle_one(v_bill) END;
            IF v_done ->> 'state' IN ('settled', 'released') THEN RETURN NEXT v_hold.id; END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'hold % cannot be ended: % (%)', v_hold.id, SQLERRM, SQLSTATE;
        END;
    END LOOP;
END $$;
