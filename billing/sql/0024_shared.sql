-- The gate of Shared paywalls: one wallet of a person pays for users of several paywalls, each within a
-- grant. Asks and bills are those of 0003 and 0004, but for where a charge goes (0024_splits).

-- What an ask of a Shared paywall stands on, as of now. code: why it may not spend at all. is_open: a
-- grant stands, is not paused and not past its end. is_plain: no limit but the grant's, and no key for
-- repeats.
CREATE FUNCTION billing_shared_facts(
    p_ask jsonb, OUT o_code text, OUT o_user uuid, OUT o_wallet uuid, OUT o_limits jsonb,
    OUT o_grant uuid, OUT o_kind text, OUT o_cap bigint, OUT o_most bigint, OUT o_is_open boolean,
    OUT o_is_plain boolean
) LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT CASE
            WHEN w.mode <> 'shared' THEN 'wrong_mode'
            WHEN w.archived_at IS NOT NULL THEN 'paywall_archived'
            WHEN w.paused_at IS NOT NULL THEN 'paywall_paused'
            WHEN p_ask ->> 'key' IS NOT NULL AND (k.id IS NULL
                OR k.revoked_at <= clock_timestamp() OR k.expires_at <= clock_timestamp())
                THEN 'invalid_api_key'
            WHEN u.blocked_at IS NOT NULL THEN 'user_blocked'
        END, u.id, u.wallet_id, u.limits, g.id, 'spend_' || g.cap_period, g.cap, g.request_most,
        g.id IS NOT NULL AND u.wallet_id IS NOT NULL AND g.paused_at IS NULL
            AND (g.ends_at IS NULL OR g.ends_at > ledger_now(u.livemode)),
        c.id IS NOT NULL AND u.limits IS NULL AND p_ask ->> 'idem' IS NULL
            AND jsonb_typeof(p_ask -> 'caps') IS DISTINCT FROM 'object'
    INTO o_code, o_user, o_wallet, o_limits, o_grant, o_kind, o_cap, o_most, o_is_open, o_is_plain
    FROM paywalls_paywall w
    LEFT JOIN paywalls_apikey k ON k.id = (p_ask ->> 'key')::uuid AND k.paywall_id = w.id
    LEFT JOIN paywalls_enduser u ON u.paywall_id = w.id
        AND u.livemode = (p_ask ->> 'live')::boolean AND u.external_id = p_ask ->> 'user'
    LEFT JOIN paywalls_grant g ON g.end_user_id = u.id AND g.revoked_at IS NULL
    LEFT JOIN ledger_counter c ON c.id = g.id
    WHERE w.id = (p_ask ->> 'paywall')::uuid;
END $$;

-- The counters of an ask of a Shared paywall: the paywall's, and the grant's cap.
CREATE FUNCTION billing_shared_counters(
    p_ask jsonb, p_user uuid, p_limits jsonb, p_grant uuid, p_kind text, p_cap bigint
) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_array(jsonb_build_object('id', p_grant, 'subject', 'grant',
        'caps', jsonb_build_object(p_kind, p_cap)))
        || CASE WHEN p_limits IS NULL AND jsonb_typeof(p_ask -> 'caps') IS DISTINCT FROM 'object'
            THEN '[]'::jsonb
            ELSE coalesce(billing_counters(p_ask, p_user, p_limits), '[]') END
$$;

-- As billing_lock, for asks of Shared paywalls.
CREATE FUNCTION billing_shared_lock(p_asks jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_wallets uuid[];
    v_counters uuid[];
BEGIN
    PERFORM billing_user(x.paywall, x.live, x."user", x.cur, NULL) FROM (
        SELECT DISTINCT ON (paywall, live, "user") *
        FROM jsonb_to_recordset(p_asks) AS a (
            paywall uuid, key uuid, live boolean, "user" text, cur text)
        WHERE NOT EXISTS (
            SELECT FROM paywalls_enduser u WHERE u.paywall_id = a.paywall AND u.livemode = a.live
                AND u.external_id = a."user"
        ) AND billing_closed(paywall, key) IS NULL
        ORDER BY paywall, live, "user"
    ) x;
    SELECT array_agg(u.wallet_id), array_remove(array_agg((c.value ->> 'id')::uuid), NULL)
        INTO v_wallets, v_counters
        FROM jsonb_array_elements(p_asks) AS a (ask)
        JOIN paywalls_enduser u ON u.paywall_id = (ask ->> 'paywall')::uuid
            AND u.livemode = (ask ->> 'live')::boolean AND u.external_id = ask ->> 'user'
        JOIN paywalls_grant g ON g.end_user_id = u.id AND g.revoked_at IS NULL
        CROSS JOIN LATERAL jsonb_array_elements(
            billing_shared_counters(ask, u.id, u.limits, g.id, '', 0)) AS c;
    PERFORM 1 FROM ledger_account WHERE id = ANY (v_wallets) ORDER BY id FOR NO KEY UPDATE;
    PERFORM ledger_counters_ensure(v_counters);
    PERFORM 1 FROM ledger_counter WHERE id = ANY (v_counters) ORDER BY id FOR NO KEY UPDATE;
END $$;

-- Tells answers to asks of Shared paywalls, where somebody listens.
CREATE FUNCTION billing_shared_told(p_ask jsonb, p_answer jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_ask -> 'tell' IS DISTINCT FROM 'true' THEN RETURN; END IF;
    IF p_answer ->> 'outcome' IN ('authorization_required', 'cap_reached') THEN
        PERFORM billing_events_put(jsonb_build_array(billing_event_of(
            p_ask, 'paywall.request.blocked', (p_answer ->> 'user')::uuid, jsonb_build_object(
                'requestId', p_answer -> 'id', 'reason', p_answer -> 'outcome'))));
    ELSE
        PERFORM billing_events_reserved(jsonb_build_array(p_ask), jsonb_build_array(p_answer));
    END IF;
END $$;

-- Places what one ask wants, when its user may: the part that chats and manual charges share.
CREATE FUNCTION billing_shared_place(
    p_ask jsonb, p_process uuid, p_lease_s integer, p_total_s integer
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := p_ask ->> 'id';
    v_paywall uuid := p_ask ->> 'paywall';
    v_live boolean := p_ask ->> 'live';
    v_want bigint := p_ask ->> 'want';
    v_least bigint := p_ask ->> 'least';
    v record;
    v_counters jsonb;
    v_claim jsonb;
    v_free bigint;
    v_hold record;
BEGIN
    v := billing_shared_facts(p_ask);
    IF v.o_code = 'wrong_mode' THEN
        RAISE EXCEPTION 'not a Shared paywall' USING ERRCODE = 'PW004';
    ELSIF v.o_code IS NOT NULL THEN
        RETURN jsonb_build_object('id', v_id, 'outcome', v.o_code);
    END IF;
    IF v.o_is_open IS NOT TRUE THEN
        IF v.o_user IS NULL THEN
            v.o_user := (billing_user(
                v_paywall, v_live, p_ask ->> 'user', p_ask ->> 'cur', NULL)).id;
        END IF;
        IF v.o_grant IS NULL THEN
            PERFORM billing_grant_ask(v_paywall, v_live, v.o_user);
        END IF;
        RETURN jsonb_build_object(
            'id', v_id, 'outcome', 'authorization_required', 'user', v.o_user);
    END IF;
    v_want := least(v_want, v.o_most);
    IF v.o_is_plain AND v_want >= v_least THEN
        v_free := ledger_place_capped(v_id, v.o_wallet, v_want, v.o_grant, v.o_kind, v.o_cap,
            p_ask -> 'facts' || jsonb_build_object(
                'user', v.o_user, 'trial', false, 'grant', v.o_grant),
            p_ask ->> 'zone', p_lease_s, p_total_s, p_process);
        IF v_free IS NOT NULL THEN
            RETURN jsonb_build_object('id', v_id, 'user', v.o_user, 'grant', v.o_grant,
                'granted', v_want, 'outcome', 'allowed', 'available', v_free, 'trial', false);
        END IF;
    END IF;
    -- The wallet before everything else, as batches do.
    PERFORM 1 FROM ledger_account WHERE id = v.o_wallet FOR NO KEY UPDATE;
    v_counters := billing_shared_counters(
        p_ask, v.o_user, v.o_limits, v.o_grant, v.o_kind, v.o_cap);
    PERFORM ledger_counters_ensure(ARRAY(
        SELECT (value ->> 'id')::uuid FROM jsonb_array_elements(v_counters)));
    IF p_ask ->> 'idem' IS NOT NULL THEN
        v_claim := billing_claim(p_ask);
        IF v_claim IS NOT NULL THEN
            RETURN v_claim || jsonb_build_object('id', v_id, 'outcome', 'repeated_key');
        END IF;
    END IF;
    IF v_want >= v_least THEN
        v_hold := ledger_place(
            v_id, v.o_wallet, v_want, v_least, p_lease_s, p_total_s, p_process, v_counters,
            p_ask -> 'facts' || jsonb_build_object(
                'user', v.o_user, 'trial', false, 'grant', v.o_grant),
            p_ask ->> 'zone');
    ELSE
        SELECT 'cap_reached' AS o_outcome, NULL::bigint AS o_granted,
            billing_spendable(v.o_wallet) AS o_available, NULL::jsonb AS o_refusal INTO v_hold;
    END IF;
    IF v_hold.o_outcome NOT IN ('allowed', 'repeated') AND p_ask ->> 'idem' IS NOT NULL THEN
        DELETE FROM billing_idempotency WHERE paywall_id = v_paywall AND livemode = v_live
            AND key = decode(p_ask ->> 'idem', 'hex');
    END IF;
    RETURN jsonb_build_object(
        'id', v_id, 'user', v.o_user, 'grant', v.o_grant, 'granted', v_hold.o_granted,
        'outcome', CASE WHEN v_hold.o_outcome = 'limited'
            AND v_hold.o_refusal ->> 'subject' = 'grant' THEN 'cap_reached'
            ELSE v_hold.o_outcome END,
        'available', v_hold.o_available, 'trial', false, 'refusal', v_hold.o_refusal);
END $$;

-- As billing_reserve_one, for a Shared paywall. Two more outcomes: authorization_required (no grant
-- stands, or it is paused or past its end) and cap_reached (the person's own limit for this app).
CREATE FUNCTION billing_shared_reserve_one(
    p_ask jsonb, p_process uuid, p_lease_s integer, p_total_s integer
) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_answer jsonb := billing_shared_place(p_ask, p_process, p_lease_s, p_total_s);
BEGIN
    PERFORM billing_shared_told(p_ask, v_answer);
    RETURN v_answer;
END $$;

-- Many asks, one commit. Set-based when each has an open grant and no other limit, and all fit; else
-- one after the other in the order they came.
CREATE FUNCTION billing_shared_reserve_many(
    p_asks jsonb, p_process uuid, p_lease_s integer, p_total_s integer
) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v record;
    v_ask jsonb;
    v_answer jsonb;
BEGIN
    SELECT
        bool_and(w.mode = 'shared' AND w.archived_at IS NULL AND w.paused_at IS NULL
            AND (x.key IS NULL OR (k.id IS NOT NULL
                AND coalesce(k.revoked_at > clock_timestamp(), true)
                AND coalesce(k.expires_at > clock_timestamp(), true)))
            AND u.wallet_id IS NOT NULL AND u.blocked_at IS NULL AND u.limits IS NULL
            AND x.idem IS NULL AND coalesce(jsonb_typeof(x.caps), 'null') = 'null'
            AND g.id IS NOT NULL AND g.paused_at IS NULL
            AND coalesce(g.ends_at > ledger_now(x.live), true)
            AND coalesce(x.want <= g.request_most, true)) AS plain,
        bool_or(x.tell) AS tell, array_agg(x.id) AS ids, array_agg(u.wallet_id) AS wallets,
        array_agg(x.want) AS wants, array_agg(x.facts || jsonb_build_object(
            'user', u.id, 'trial', false, 'grant', g.id)) AS facts,
        array_agg(g.id) AS grants, array_agg('spend_' || g.cap_period) AS kinds,
        array_agg(g.cap) AS caps, array_agg(x.zone) AS zones
    INTO v
    FROM jsonb_to_recordset(p_asks) AS x (
        id uuid, paywall uuid, key uuid, live boolean, "user" text, want bigint, idem text,
        caps jsonb, facts jsonb, tell boolean, zone text)
    JOIN paywalls_paywall w ON w.id = x.paywall
    LEFT JOIN paywalls_apikey k ON k.id = x.key AND k.paywall_id = x.paywall
    LEFT JOIN paywalls_enduser u
        ON u.paywall_id = x.paywall AND u.livemode = x.live AND u.external_id = x."user"
    LEFT JOIN paywalls_grant g ON g.end_user_id = u.id AND g.revoked_at IS NULL;
    IF v.plain AND ledger_place_counted(
        v.ids, v.wallets, v.wants, v.facts, v.grants, v.kinds, v.caps, v.zones, p_lease_s,
        p_total_s, p_process)
    THEN
        SELECT jsonb_agg(jsonb_build_object(
            'id', h.id, 'outcome', 'allowed', 'user', h.facts -> 'user', 'granted', h.amount,
            'available', a.posted - a.held - a.floor, 'trial', false)) INTO v_answer
        FROM ledger_hold h JOIN ledger_account a ON a.id = h.account_id
        WHERE h.id = ANY (v.ids);
        IF v.tell THEN PERFORM billing_events_reserved(p_asks, v_answer); END IF;
        RETURN v_answer;
    END IF;
    PERFORM billing_shared_lock(p_asks);
    v_answer := '[]';
    FOR v_ask IN SELECT value FROM jsonb_array_elements(p_asks) WITH ORDINALITY ORDER BY ordinality
    LOOP
        v_answer := v_answer || billing_shared_reserve_one(v_ask, p_process, p_lease_s, p_total_s);
    END LOOP;
    RETURN v_answer;
END $$;

-- As billing_settle_one and billing_settle_many, and the charge is shared in the same commit.
CREATE FUNCTION billing_shared_settle_one(p_bill jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_result jsonb := billing_settle_one(p_bill);
BEGIN
    IF v_result ->> 'state' = 'settled' THEN
        PERFORM billing_split_one(p_bill, (v_result ->> 'charged')::bigint,
            (facts ->> 'user')::uuid, (facts ->> 'grant')::uuid, created_at)
            FROM ledger_hold WHERE id = (p_bill ->> 'id')::uuid;
    END IF;
    RETURN v_result;
END $$;

CREATE FUNCTION billing_shared_settle_many(p_bills jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_results jsonb := billing_settle_many(p_bills);
BEGIN
    PERFORM billing_split_book(p_bills, v_results);
    RETURN v_results;
END $$;

-- As billing_charge_one and billing_charge_many: a manual charge costs no provider anything.
CREATE FUNCTION billing_shared_charge_book(p_ask jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid := p_ask ->> 'id';
    v_txn uuid := p_ask ->> 'txn';
    v_paywall uuid := p_ask ->> 'paywall';
    v_scope text := 'charge:' || v_paywall || billing_mode(p_ask);
    v_print bytea := decode(p_ask ->> 'print', 'hex');
    v_amount bigint := p_ask ->> 'want';
    v_code text := billing_closed(v_paywall, (p_ask ->> 'key')::uuid);
    v_user uuid;
    v_old record;
    v_placed jsonb;
    v_done record;
BEGIN
    IF v_code IS NOT NULL THEN
        RETURN jsonb_build_object('id', v_id, 'outcome', v_code);
    END IF;
    v_user := (billing_user(v_paywall, (p_ask ->> 'live')::boolean, p_ask ->> 'user',
        p_ask ->> 'cur', NULL)).id;
    PERFORM 1 FROM ledger_account WHERE id = (
        SELECT wallet_id FROM paywalls_enduser WHERE id = v_user) FOR NO KEY UPDATE;
    SELECT t.id, t.fingerprint, h.settled, h.account_id INTO v_old
        FROM ledger_transaction t JOIN ledger_hold h ON h.id = t.request_id
        WHERE t.scope = v_scope AND t.ref = p_ask ->> 'ref';
    IF FOUND THEN
        IF v_old.fingerprint IS DISTINCT FROM v_print THEN
            RETURN jsonb_build_object('id', v_id, 'outcome', 'repeated_key', 'state', 'mismatch');
        END IF;
        RETURN jsonb_build_object('id', v_id, 'outcome', 'booked', 'txn', v_old.id,
            'user', v_user, 'charged', v_old.settled, 'replayed', true,
            'available', billing_spendable(v_old.account_id));
    END IF;
    v_placed := billing_shared_place(p_ask, NULL, 60, 60);
    IF v_placed ->> 'outcome' <> 'allowed' THEN RETURN v_placed; END IF;
    v_done := ledger_settle(
        v_id, v_txn, v_amount, (p_ask ->> 'to')::uuid, v_scope, p_ask ->> 'ref', v_print);
    PERFORM billing_split_one(
        p_ask, v_done.o_charged, v_user, (v_placed ->> 'grant')::uuid, created_at)
        FROM ledger_hold WHERE id = v_id;
    IF jsonb_typeof(p_ask -> 'metadata') = 'object' THEN
        INSERT INTO ledger_note (transaction_id, reason, metadata)
            VALUES (v_txn, '', p_ask -> 'metadata');
    END IF;
    INSERT INTO billing_charge (
        transaction_id, request_id, paywall_id, user_id, key_id, rate_id, model, usage,
        usage_source, policy, charged, provider_cost, created_at
    ) VALUES (
        v_txn, v_id, v_paywall, v_user, (p_ask ->> 'key')::uuid, NULL, 'manual', NULL, 'none',
        'manual', v_amount, 0, clock_timestamp());
    INSERT INTO billing_daily AS t (
        user_id, day, model, paywall_id, livemode, requests, failures, prompt_tokens,
        completion_tokens, charged, provider_cost
    ) VALUES (
        v_user, (clock_timestamp() AT TIME ZONE (p_ask ->> 'zone'))::date, 'manual', v_paywall,
        (p_ask ->> 'live')::boolean, 1, 0, 0, 0, v_amount, 0
    ) ON CONFLICT (user_id, day, model) DO UPDATE SET
        requests = t.requests + 1, charged = t.charged + excluded.charged;
    RETURN jsonb_build_object('id', v_id, 'outcome', 'booked', 'txn', v_txn, 'user', v_user,
        'charged', v_amount, 'replayed', false, 'available', v_done.o_available);
END $$;

CREATE FUNCTION billing_shared_charge_one(p_ask jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_done jsonb := billing_shared_charge_book(p_ask);
    v_user uuid := v_done ->> 'user';
    v_fee bigint;
BEGIN
    IF p_ask -> 'tell' IS DISTINCT FROM 'true' OR (v_done ->> 'replayed')::boolean
        OR v_done ->> 'outcome' = 'repeated_key'
    THEN
        RETURN v_done;
    END IF;
    IF v_done ->> 'outcome' = 'booked' THEN
        SELECT fee INTO v_fee FROM billing_split WHERE transaction_id = (v_done ->> 'txn')::uuid;
        PERFORM billing_events_put(jsonb_build_array(
            billing_event_of(p_ask, 'paywall.balance.charge.created', v_user, jsonb_build_object(
                'activityId', v_done -> 'txn', 'amount', v_done -> 'charged',
                'processingFeeAmount', v_fee)),
            billing_event_of(p_ask, 'paywall.balance.charge.completed', v_user, jsonb_build_object(
                'activityId', v_done -> 'txn', 'settlementReference', v_done -> 'txn'))));
        RETURN v_done;
    END IF;
    PERFORM billing_events_put(jsonb_build_array(
        billing_event_of(p_ask, 'paywall.balance.charge.failed', v_user, jsonb_build_object(
            'activityId', p_ask -> 'txn', 'amount', p_ask -> 'want',
            'errorCode', CASE v_done ->> 'outcome' WHEN 'limited'
                THEN v_done #>> '{refusal,kind}' ELSE v_done ->> 'outcome' END))));
    RETURN v_done;
END $$;

CREATE FUNCTION billing_shared_charge_many(p_asks jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_ask jsonb;
    v_answer jsonb := '[]';
BEGIN
    PERFORM billing_shared_lock(p_asks);
    FOR v_ask IN SELECT value FROM jsonb_array_elements(p_asks) WITH ORDINALITY ORDER BY ordinality
    LOOP
        v_answer := v_answer || billing_shared_charge_one(v_ask);
    END LOOP;
    RETURN v_answer;
END $$;
