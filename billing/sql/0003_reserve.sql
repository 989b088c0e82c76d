-- Reserving for the request path: who pays, what is closed, caps, trial, idempotency, then the
-- ledger's hold; one call, one commit. An ask is an object:
--   id, paywall, key, live, cur, zone, user, want, least, facts,
--   caps {user, key, paywall: {kind: value}} or null, trial {nanos, requests, days} or null,
--   idem, print (hex digests) or null.
-- The answer: id, outcome, user, granted, available, trial, refusal, request, charged.

-- Why a paywall or a key may no longer spend, or null. p_key null: not called with a key. Paused
-- comes last, because it alone still lets money in.
CREATE FUNCTION billing_closed(p_paywall uuid, p_key uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN w.archived_at IS NOT NULL THEN 'paywall_archived'
        WHEN p_key IS NOT NULL AND NOT EXISTS (
            SELECT FROM paywalls_apikey k WHERE k.id = p_key AND k.paywall_id = w.id
                AND (k.revoked_at IS NULL OR k.revoked_at > clock_timestamp())
                AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
        ) THEN 'invalid_api_key'
        WHEN w.paused_at IS NOT NULL THEN 'paywall_paused'
    END FROM paywalls_paywall w WHERE w.id = p_paywall
$$;

-- A paywall's end user, made with wallet and trial when seen for the first time.
CREATE FUNCTION billing_user(
    p_paywall uuid, p_live boolean, p_user text, p_currency text, p_trial jsonb
) RETURNS paywalls_enduser
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_user paywalls_enduser;
    v_nanos bigint := coalesce((p_trial ->> 'nanos')::bigint, 0);
    v_days integer := coalesce((p_trial ->> 'days')::integer, 0);
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
            ledger_uuid7(), 'trial', 'trial:' || p_paywall, v_user.id::text, NULL, NULL, 'billing',
            NULL, NULL, v_user.wallet_id,
            ledger_account_open('trial', p_paywall, p_currency, p_live, NULL), v_nanos, NULL, NULL,
            'trial', 0::smallint,
            CASE WHEN v_days > 0 THEN ledger_now(p_live) + make_interval(days => v_days) END,
            ledger_account_open('breakage', p_paywall, p_currency, p_live, NULL));
    END IF;
    RETURN v_user;
END $$;

-- The counters of an ask: one for each subject that has caps. The user's own replace the common.
-- A paywall counts its test traffic apart.
CREATE FUNCTION billing_counters(p_ask jsonb, p_user uuid, p_limits jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_agg(jsonb_build_object('id', id, 'subject', subject, 'caps', caps)) FROM (VALUES
        (p_user, 'user', coalesce(p_ask #> '{caps,user}', '{}') || coalesce(p_limits, '{}')),
        ((p_ask ->> 'key')::uuid, 'key', p_ask #> '{caps,key}'),
        (CASE WHEN (p_ask ->> 'live')::boolean THEN (p_ask ->> 'paywall')::uuid
            ELSE md5((p_ask ->> 'paywall') || ':test')::uuid END,
            'paywall', p_ask #> '{caps,paywall}')
    ) AS s (id, subject, caps) WHERE id IS NOT NULL AND caps IS NOT NULL AND caps <> '{}'
$$;

-- Claims an Idempotency-Key for a request. Null: claimed. Else what the earlier one came to:
-- {state: mismatch | in_progress | completed, request, charged}. An attempt that failed (nothing was
-- delivered) is forgotten and the key passes on; one that was free of charge is not.
CREATE FUNCTION billing_claim(p_ask jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_paywall uuid := p_ask ->> 'paywall';
    v_live boolean := p_ask ->> 'live';
    v_key bytea := decode(p_ask ->> 'idem', 'hex');
    v_print bytea := decode(p_ask ->> 'print', 'hex');
    v_old billing_idempotency;
    v_hold ledger_hold;
BEGIN
    INSERT INTO billing_idempotency (paywall_id, livemode, key, fingerprint, request_id, created_at)
        VALUES (v_paywall, v_live, v_key, v_print, (p_ask ->> 'id')::uuid, clock_timestamp())
        ON CONFLICT DO NOTHING;
    IF FOUND THEN RETURN NULL; END IF;
    SELECT * INTO v_old FROM billing_idempotency
        WHERE paywall_id = v_paywall AND livemode = v_live AND key = v_key FOR UPDATE;
    IF v_old.request_id = (p_ask ->> 'id')::uuid THEN RETURN NULL; END IF;
    IF v_old.fingerprint <> v_print THEN RETURN '{"state": "mismatch"}'; END IF;
    SELECT * INTO v_hold FROM ledger_hold WHERE id = v_old.request_id;
    IF v_hold.state IN (0, 1) OR EXISTS (
        SELECT FROM billing_request WHERE id = v_old.request_id AND status <> 'failed'
    ) THEN
        RETURN jsonb_build_object(
            'state', CASE v_hold.state WHEN 0 THEN 'in_progress' ELSE 'completed' END,
            'request', v_old.request_id, 'charged', coalesce(v_hold.settled, 0));
    END IF;
    UPDATE billing_idempotency SET request_id = (p_ask ->> 'id')::uuid
        WHERE paywall_id = v_paywall AND livemode = v_live AND key = v_key;
    RETURN NULL;
END $$;

-- Makes and locks what a batch of asks will touch, before it walks through them, in the order that
-- every function keeps: users, wallets by id, counters by id. So no two batches wait for each other.
CREATE FUNCTION billing_lock(p_asks jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_wallets uuid[];
    v_counters uuid[];
BEGIN
    PERFORM billing_user(x.paywall, x.live, x."user", x.cur, x.trial) FROM (
        SELECT DISTINCT ON (paywall, live, "user") *
        FROM jsonb_to_recordset(p_asks) AS a (
            paywall uuid, key uuid, live boolean, "user" text, cur text, trial jsonb)
        WHERE billing_closed(paywall, key) IS NULL
        ORDER BY paywall, live, "user"
    ) x;
    SELECT array_agg(u.wallet_id), array_remove(array_agg((c.value ->> 'id')::uuid), NULL)
        INTO v_wallets, v_counters
        FROM jsonb_array_elements(p_asks) AS a (ask)
        JOIN paywalls_enduser u ON u.paywall_id = (ask ->> 'paywall')::uuid
            AND u.livemode = (ask ->> 'live')::boolean AND u.external_id = ask ->> 'user'
        LEFT JOIN jsonb_array_elements(billing_counters(ask, u.id, u.limits)) AS c ON true;
    PERFORM 1 FROM ledger_account WHERE id = ANY (v_wallets) ORDER BY id FOR NO KEY UPDATE;
    PERFORM ledger_counters_ensure(v_counters);
    PERFORM 1 FROM ledger_counter WHERE id = ANY (v_counters) ORDER BY id FOR NO KEY UPDATE;
END $$;

CREATE FUNCTION billing_reserve_one(
    p_ask jsonb, p_process uuid, p_lease_s integer, p_total_s integer
) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id uuid := p_ask ->> 'id';
    v_paywall uuid := p_ask ->> 'paywall';
    v_live boolean := p_ask ->> 'live';
    v_code text;
    v_user record;
    v_counters jsonb;
    v_claim jsonb;
    v_trial boolean := false;
    v_days integer := coalesce((p_ask #>> '{trial,days}')::integer, 0);
    v_want bigint := p_ask ->> 'want';
    v_least bigint := p_ask ->> 'least';
    v_hold record;
BEGIN
    SELECT id, wallet_id, blocked_at, limits, trial_requests_left, created_at
        INTO v_user FROM paywalls_enduser
        WHERE paywall_id = v_paywall AND livemode = v_live AND external_id = p_ask ->> 'user';
    -- As billing_closed, written out: a function in SQL is planned anew at each call.
    SELECT CASE
        WHEN w.archived_at IS NOT NULL THEN 'paywall_archived'
        WHEN w.paused_at IS NOT NULL THEN 'paywall_paused'
        WHEN p_ask ->> 'key' IS NOT NULL AND (k.id IS NULL OR k.revoked_at <= clock_timestamp()
            OR k.expires_at <= clock_timestamp()) THEN 'invalid_api_key'
        WHEN v_user.blocked_at IS NOT NULL THEN 'user_blocked'
    END INTO v_code
    FROM paywalls_paywall w
    LEFT JOIN paywalls_apikey k ON k.id = (p_ask ->> 'key')::uuid AND k.paywall_id = w.id
    WHERE w.id = v_paywall;
    IF v_code IS NOT NULL THEN
        RETURN jsonb_build_object('id', v_id, 'outcome', v_code);
    END IF;
    IF v_user.id IS NULL THEN
        v_user := billing_user(
            v_paywall, v_live, p_ask ->> 'user', p_ask ->> 'cur', p_ask -> 'trial');
    END IF;
    IF v_user.limits IS NOT NULL OR jsonb_typeof(p_ask -> 'caps') = 'object' THEN
        v_counters := billing_counters(p_ask, v_user.id, v_user.limits);
    END IF;
    IF v_counters IS NOT NULL OR p_ask ->> 'idem' IS NOT NULL OR v_user.trial_requests_left > 0 THEN
        -- The wallet before everything else, as batches do.
        PERFORM 1 FROM ledger_account WHERE id = v_user.wallet_id FOR NO KEY UPDATE;
    END IF;
    IF v_counters IS NOT NULL THEN
        PERFORM ledger_counters_ensure(ARRAY(
            SELECT (value ->> 'id')::uuid FROM jsonb_array_elements(v_counters)));
    END IF;
    IF p_ask ->> 'idem' IS NOT NULL THEN
        v_claim := billing_claim(p_ask);
        IF v_claim IS NOT NULL THEN
            RETURN v_claim || jsonb_build_object('id', v_id, 'outcome', 'repeated_key');
        END IF;
    END IF;
    IF v_user.trial_requests_left > 0 AND (v_days = 0
        OR v_user.created_at + make_interval(days => v_days) > ledger_now(v_live))
    THEN
        UPDATE paywalls_enduser SET trial_requests_left = trial_requests_left - 1
            WHERE id = v_user.id AND trial_requests_left > 0;
        v_trial := FOUND;
    END IF;
    IF v_trial THEN
        v_want := 0;
        v_least := 0;
    END IF;
    v_hold := ledger_place(
        v_id, v_user.wallet_id, v_want, v_least, p_lease_s, p_total_s, p_process, v_counters,
        p_ask -> 'facts' || jsonb_build_object('user', v_user.id, 'trial', v_trial),
        p_ask ->> 'zone');
    IF v_hold.o_outcome NOT IN ('allowed', 'repeated') AND p_ask ->> 'idem' IS NOT NULL THEN
        DELETE FROM billing_idempotency WHERE paywall_id = v_paywall AND livemode = v_live
            AND key = decode(p_ask ->> 'idem', 'hex');
    END IF;
    IF v_trial AND v_hold.o_outcome <> 'allowed' THEN
        UPDATE paywalls_enduser SET trial_requests_left = trial_requests_left + 1
            WHERE id = v_user.id;
    END IF;
    IF v_hold.o_outcome = 'repeated' THEN
        SELECT (facts ->> 'trial')::boolean INTO v_trial FROM ledger_hold WHERE id = v_id;
    END IF;
    RETURN jsonb_build_object(
        'id', v_id, 'outcome', v_hold.o_outcome, 'user', v_user.id, 'granted', v_hold.o_granted,
        'available', v_hold.o_available, 'trial', v_trial, 'refusal', v_hold.o_refusal);
END $$;

-- Many asks, one commit. Set-based when all are plain and all fit; else one after the other in the
-- order they came, so that one refusal never refuses a neighbour.
CREATE FUNCTION billing_reserve_many(
    p_asks jsonb, p_process uuid, p_lease_s integer, p_total_s integer
) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_plain boolean;
    v_ids uuid[];
    v_wallets uuid[];
    v_wants bigint[];
    v_facts jsonb[];
    v_ask jsonb;
    v_answer jsonb;
BEGIN
    SELECT
        bool_and(u.id IS NOT NULL AND u.blocked_at IS NULL AND u.limits IS NULL
            AND u.trial_requests_left = 0 AND x.idem IS NULL
            AND coalesce(jsonb_typeof(x.caps), 'null') = 'null'
            AND billing_closed(x.paywall, x.key) IS NULL),
        array_agg(x.id), array_agg(u.wallet_id), array_agg(x.want),
        array_agg(x.facts || jsonb_build_object('user', u.id))
    INTO v_plain, v_ids, v_wallets, v_wants, v_facts
    FROM jsonb_to_recordset(p_asks) AS x (
        id uuid, paywall uuid, key uuid, live boolean, "user" text, want bigint, idem text,
        caps jsonb, facts jsonb)
    LEFT JOIN paywalls_enduser u
        ON u.paywall_id = x.paywall AND u.livemode = x.live AND u.external_id = x."user";
    IF v_plain AND ledger_place_many(
        v_ids, v_wallets, v_wants, v_facts, p_lease_s, p_total_s, p_process)
    THEN
        SELECT jsonb_agg(jsonb_build_object(
            'id', h.id, 'outcome', 'allowed', 'user', h.facts -> 'user', 'granted', h.amount,
            'available', a.posted - a.held - a.floor, 'trial', false)) INTO v_answer
        FROM ledger_hold h JOIN ledger_account a ON a.id = h.account_id
        WHERE h.id = ANY (v_ids);
        RETURN v_answer;
    END IF;
    PERFORM billing_lock(p_asks);
    v_answer := '[]';
    FOR v_ask IN SELECT value FROM jsonb_array_elements(p_asks) WITH ORDINALITY ORDER BY ordinality
    LOOP
        v_answer := v_answer || billing_reserve_one(v_ask, p_process, p_lease_s, p_total_s);
    END LOOP;
    RETURN v_answer;
END $$;
