-- The moments at which money and requests are told of. A money object says `"tell": true` when its
-- caller knows of somebody who listens; without it nothing here runs.

-- After asks were answered: p_asks and p_answers as of billing_reserve_many.
CREATE FUNCTION billing_events_reserved(p_asks jsonb, p_answers jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM billing_events_put((
        SELECT jsonb_agg(billing_event_of(x.ask, e.type, x."user", e.facts, e.once))
        FROM (
            SELECT ask, a.id, a.outcome, a."user", a.available, a.refusal,
                ask #>> '{facts,model}' AS model,
                coalesce((ask #>> '{facts,streamed}')::boolean, false) AS streamed
            FROM jsonb_array_elements(p_asks) AS ask
            JOIN jsonb_to_recordset(p_answers) AS a (
                id uuid, outcome text, "user" uuid, available bigint, refusal jsonb)
                ON a.id = (ask ->> 'id')::uuid
            WHERE (ask ->> 'tell')::boolean
        ) x CROSS JOIN LATERAL (
            SELECT 'paywall.proxy.request.started' AS type,
                jsonb_build_object('requestId', x.id, 'model', x.model) AS facts, NULL AS once
            WHERE x.outcome = 'allowed'
            UNION ALL
            SELECT 'paywall.usage.charge.deferred',
                jsonb_build_object('deferredRequestId', x.id, 'model', x.model), NULL
            WHERE x.outcome = 'allowed' AND x.streamed
            UNION ALL
            SELECT 'paywall.balance.depleted', jsonb_build_object(
                'requestedAmount', x.ask -> 'least', 'availableBalance', greatest(x.available, 0)),
                'depleted:' || x."user"
            WHERE x.outcome IN ('topup_required', 'debt')
            UNION ALL
            SELECT 'paywall.usage.rate.limited', jsonb_build_object(
                'limit', x.refusal -> 'limit', 'model', x.model,
                'date', (clock_timestamp() AT TIME ZONE (x.ask ->> 'zone'))::date),
                concat_ws(':', x.refusal ->> 'kind', CASE x.refusal ->> 'subject'
                    WHEN 'user' THEN x."user"::text WHEN 'key' THEN x.ask ->> 'key' END,
                    to_char(clock_timestamp() AT TIME ZONE (x.ask ->> 'zone'),
                        CASE x.refusal ->> 'kind' WHEN 'requests_day' THEN 'YYYY-MM-DD'
                            ELSE 'YYYY-MM-DD HH24:MI' END))
            WHERE x.outcome = 'limited' AND x.refusal ->> 'kind' IN ('requests_minute', 'requests_day')
            UNION ALL
            SELECT 'paywall.request.blocked', jsonb_build_object('requestId', x.id, 'reason',
                CASE WHEN x.outcome <> 'limited' THEN 'insufficient_balance'
                    WHEN x.refusal ->> 'kind' LIKE 'spend%' THEN 'spend_limit'
                    ELSE 'rate_limited' END), NULL
            WHERE x.outcome IN ('topup_required', 'debt', 'limited')
            UNION ALL
            SELECT 'paywall.proxy.request.blocked',
                jsonb_build_object('requestId', x.id, 'reason', 'paused'), NULL
            WHERE x.outcome = 'paywall_paused'
        ) e
    ));
END $$;

-- After bills were booked: p_bills and p_results as of billing_settle_many.
CREATE FUNCTION billing_events_settled(p_bills jsonb, p_results jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM billing_events_put((
        SELECT jsonb_agg(billing_event_of(bill, e.type, (bill ->> 'user')::uuid, e.facts))
        FROM jsonb_array_elements(p_bills) AS bill
        JOIN jsonb_to_recordset(p_results) AS r (id uuid, state text, charged bigint)
            ON r.id = (bill ->> 'id')::uuid
        CROSS JOIN LATERAL (
            SELECT 'paywall.usage.charge.created' AS type, jsonb_build_object(
                'activityId', bill -> 'txn', 'model', bill -> 'model', 'cost', r.charged,
                'promptTokens', coalesce(bill #> '{usage,prompt}', '0'),
                'completionTokens', coalesce(bill #> '{usage,completion}', '0')) AS facts
            WHERE r.state = 'settled'
            UNION ALL
            SELECT 'paywall.proxy.request.completed',
                jsonb_build_object('requestId', r.id, 'model', bill -> 'model')
            WHERE bill ->> 'status' = 'completed'
            UNION ALL
            SELECT 'paywall.proxy.request.canceled',
                jsonb_build_object('requestId', r.id, 'model', bill -> 'model')
            WHERE bill ->> 'status' <> 'completed'
                AND 'client_gone' IN (bill ->> 'status', bill ->> 'error_code')
            UNION ALL
            SELECT 'paywall.proxy.request.failed', jsonb_build_object(
                'requestId', r.id, 'model', bill -> 'model', 'errorCode', bill -> 'error_code')
            WHERE bill ->> 'status' <> 'completed'
                AND 'client_gone' NOT IN (bill ->> 'status', bill ->> 'error_code')
        ) e
        WHERE (bill ->> 'tell')::boolean AND r.state IN ('settled', 'released')
    ));
END $$;

-- A manual charge, told.
ALTER FUNCTION billing_charge_one(jsonb) RENAME TO billing_charge_book;
CREATE FUNCTION billing_charge_one(p_ask jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_done jsonb := billing_charge_book(p_ask);
    v_user uuid := v_done ->> 'user';
    v_events jsonb;
BEGIN
    IF p_ask -> 'tell' IS DISTINCT FROM 'true' OR (v_done ->> 'replayed')::boolean THEN
        RETURN v_done;
    END IF;
    IF v_done ->> 'outcome' = 'booked' THEN
        v_events := jsonb_build_array(
            billing_event_of(p_ask, 'paywall.balance.charge.created', v_user, jsonb_build_object(
                'activityId', v_done -> 'txn', 'amount', v_done -> 'charged',
                'processingFeeAmount', 0)),
            billing_event_of(p_ask, 'paywall.balance.charge.completed', v_user, jsonb_build_object(
                'activityId', v_done -> 'txn', 'settlementReference', v_done -> 'txn')));
    ELSIF v_done ->> 'outcome' <> 'repeated_key' THEN
        v_events := jsonb_build_array(
            billing_event_of(p_ask, 'paywall.balance.charge.failed', v_user, jsonb_build_object(
                'activityId', p_ask -> 'txn', 'amount', p_ask -> 'want',
                'errorCode', coalesce(v_done #> '{refusal,kind}', v_done -> 'outcome'))));
        IF v_done ->> 'outcome' IN ('topup_required', 'debt') THEN
            v_events := v_events || billing_event_of(p_ask, 'paywall.balance.depleted', v_user,
                jsonb_build_object('requestedAmount', p_ask -> 'want',
                    'availableBalance', greatest((v_done ->> 'available')::bigint, 0)),
                'depleted:' || v_user);
        END IF;
    END IF;
    PERFORM billing_events_put(v_events);
    RETURN v_done;
END $$;

-- A credit, told; from here on a user without money is news again. `source` says where it came from:
-- api, stripe, dashboard, plan, promo.
ALTER FUNCTION billing_credit(jsonb) RENAME TO billing_credit_book;
CREATE FUNCTION billing_credit(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_done jsonb := billing_credit_book(p);
    v_user uuid := v_done ->> 'user';
    v_source text := coalesce(p ->> 'source', CASE p ->> 'kind'
        WHEN 'bonus' THEN 'promo' WHEN 'topup' THEN 'stripe' WHEN 'adjustment' THEN 'dashboard'
        ELSE 'api' END);
BEGIN
    IF v_done ->> 'outcome' <> 'booked' OR (v_done ->> 'replayed')::boolean THEN
        RETURN v_done;
    END IF;
    DELETE FROM billing_eventmark
        WHERE paywall_id = (p ->> 'paywall')::uuid AND mark = 'depleted:' || v_user;
    IF p -> 'tell' IS NOT DISTINCT FROM 'true' THEN
        PERFORM billing_events_put(jsonb_build_array(billing_event_of(
            p || jsonb_build_object('source', v_source),
            'paywall.balance.deposit.created', v_user, jsonb_build_object(
                'amount', v_done -> 'charged', 'currency', lower(p ->> 'cur'),
                'source', v_source, 'activityId', v_done -> 'txn'))));
    END IF;
    RETURN v_done;
END $$;

-- A refund of a charge, told.
ALTER FUNCTION billing_refund(jsonb) RENAME TO billing_refund_book;
CREATE FUNCTION billing_refund(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_done jsonb := billing_refund_book(p);
    v_charge record;
BEGIN
    IF v_done ->> 'outcome' = 'booked' AND NOT (v_done ->> 'replayed')::boolean THEN
        SELECT c.paywall_id AS paywall, c.user_id, a.livemode AS live, lower(a.currency) AS currency
            INTO v_charge FROM billing_charge c
            JOIN ledger_entry e ON e.transaction_id = c.transaction_id AND e.amount < 0
            JOIN ledger_account a ON a.id = e.account_id
            WHERE c.transaction_id = (p ->> 'charge')::uuid;
        DELETE FROM billing_eventmark
            WHERE paywall_id = v_charge.paywall AND mark = 'depleted:' || v_charge.user_id;
        PERFORM billing_events_put(jsonb_build_array(billing_event_of(
            p || to_jsonb(v_charge) || '{"source": "dashboard"}',
            'paywall.balance.refunded', v_charge.user_id, jsonb_build_object(
                'amount', v_done -> 'charged', 'currency', v_charge.currency,
                'activityId', v_done -> 'txn', 'chargeId', p -> 'charge'))));
    END IF;
    RETURN v_done;
END $$;

-- As before, and a trial that is granted is told.
CREATE OR REPLACE FUNCTION billing_user(
    p_paywall uuid, p_live boolean, p_user text, p_currency text, p_trial jsonb
) RETURNS paywalls_enduser
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_user paywalls_enduser;
    v_nanos bigint := coalesce((p_trial ->> 'nanos')::bigint, 0);
    v_days integer := coalesce((p_trial ->> 'days')::integer, 0);
    v_grant uuid := ledger_uuid7();
BEGIN
    SELECT * INTO v_user FROM paywalls_enduser
        WHERE paywall_id = p_paywall AND livemode = p_live AND external_id = p_user;
    IF FOUND THEN RETURN v_user; END IF;
    INSERT INTO paywalls_enduser (
        id, paywall_id, livemode, external_id, wallet_id, trial_requests_left, created_at
    ) VALUES (
        ledger_uuid7(), p_paywall, p_live, p_user, ledger_uuid7(),
        coalesce((p_trial ->> 'requests')::integer, 0), clock_timestamp()
    ) ON CONFLICT DO NOTHING RETURNING * INTO v_user;
    IF NOT FOUND THEN
        SELECT * INTO v_user FROM paywalls_enduser
            WHERE paywall_id = p_paywall AND livemode = p_live AND external_id = p_user;
        RETURN v_user;
    END IF;
    INSERT INTO ledger_account (
        id, kind, owner, currency, livemode, posted, held, owed, floor, version, has_lots,
        created_at
    ) VALUES (
        v_user.wallet_id, 'wallet', v_user.id, p_currency, p_live, 0, 0, 0, 0, 0, false,
        clock_timestamp());
    IF v_nanos > 0 THEN
        PERFORM ledger_credit(
            v_grant, 'trial', 'trial:' || p_paywall, v_user.id::text, NULL, NULL, 'billing',
            NULL, NULL, v_user.wallet_id,
            ledger_account_open('trial', p_paywall, p_currency, p_live, NULL), v_nanos, NULL, NULL,
            'trial', 0::smallint,
            CASE WHEN v_days > 0 THEN ledger_now(p_live) + make_interval(days => v_days) END,
            ledger_account_open('breakage', p_paywall, p_currency, p_live, NULL));
        PERFORM billing_events_put(jsonb_build_array(billing_event_of(
            jsonb_build_object('paywall', p_paywall, 'live', p_live, 'source', 'system'),
            'paywall.balance.trial.granted', v_user.id,
            jsonb_build_object('credits', v_nanos, 'activityId', v_grant))));
    END IF;
    RETURN v_user;
END $$;

-- Every change of a paywall's configuration is told, as its record is written.
CREATE FUNCTION billing_change_told() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_type text := CASE NEW.action
        WHEN 'paywall.archived' THEN 'paywall.archived'
        WHEN 'key.rotated' THEN 'paywall.secret.rotated'
        ELSE 'paywall.updated' END;
    v_before jsonb := coalesce(NEW.before, '{}');
    v_after jsonb := coalesce(NEW.after, '{}');
BEGIN
    PERFORM billing_events_put(jsonb_build_array(jsonb_build_object(
        'paywall', NEW.paywall_id, 'live', w.livemode, 'type', v_type, 'source', 'dashboard',
        'actor', NEW.actor,
        'facts', CASE v_type
            WHEN 'paywall.archived' THEN jsonb_build_object('reason', 'archived by its owner')
            WHEN 'paywall.secret.rotated' THEN jsonb_build_object(
                'secretLastFour', v_after -> 'last_four', 'actorId', NEW.actor,
                'actorType', NEW.actor)
            ELSE jsonb_build_object(
                'changedFields', (
                    SELECT coalesce(jsonb_agg(DISTINCT f.name), '[]') FROM (
                        SELECT jsonb_object_keys(v_before) UNION SELECT jsonb_object_keys(v_after)
                    ) f (name)
                    WHERE v_before -> f.name IS DISTINCT FROM v_after -> f.name),
                'summarySections', jsonb_build_array(split_part(NEW.action, '.', 1)))
            END)))
        FROM paywalls_paywall w WHERE w.id = NEW.paywall_id;
    RETURN NULL;
END $$;

CREATE TRIGGER change_told AFTER INSERT ON paywalls_change
    FOR EACH ROW WHEN (NEW.paywall_id IS NOT NULL AND NEW.action <> 'paywall.created')
    EXECUTE FUNCTION billing_change_told();
