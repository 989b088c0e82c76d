-- Users of Shared paywalls have no wallet of their own: it is a person's, while that person's grant
-- stands. A developer's hand never reaches it.

-- A user of a Shared paywall is made without a wallet.
ALTER FUNCTION billing_user(uuid, boolean, text, text, jsonb) RENAME TO billing_user_default;
CREATE FUNCTION billing_user(
    p_paywall uuid, p_live boolean, p_user text, p_currency text, p_trial jsonb
) RETURNS paywalls_enduser
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_user paywalls_enduser;
BEGIN
    SELECT * INTO v_user FROM paywalls_enduser
        WHERE paywall_id = p_paywall AND livemode = p_live AND external_id = p_user;
    IF FOUND THEN RETURN v_user; END IF;
    IF NOT EXISTS (SELECT FROM paywalls_paywall WHERE id = p_paywall AND mode = 'shared') THEN
        RETURN billing_user_default(p_paywall, p_live, p_user, p_currency, p_trial);
    END IF;
    INSERT INTO paywalls_enduser (
        id, paywall_id, livemode, external_id, trial_requests_left, created_at
    ) VALUES (ledger_uuid7(), p_paywall, p_live, p_user, 0, clock_timestamp())
        ON CONFLICT DO NOTHING;
    SELECT * INTO v_user FROM paywalls_enduser
        WHERE paywall_id = p_paywall AND livemode = p_live AND external_id = p_user;
    RETURN v_user;
END $$;

-- A pending request of a user who has no grant; told when it is new.
CREATE FUNCTION billing_grant_ask(p_paywall uuid, p_live boolean, p_user uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_id uuid;
BEGIN
    IF EXISTS (SELECT FROM paywalls_grantrequest WHERE end_user_id = p_user AND state = 'pending')
    THEN
        RETURN;
    END IF;
    INSERT INTO paywalls_grantrequest (id, paywall_id, end_user_id, state, reason, created_at)
        VALUES (ledger_uuid7(), p_paywall, p_user, 'pending', '', clock_timestamp())
        ON CONFLICT DO NOTHING RETURNING id INTO v_id;
    IF NOT FOUND THEN RETURN; END IF;
    PERFORM billing_events_put(jsonb_build_array(jsonb_build_object(
        'paywall', p_paywall, 'live', p_live, 'user', p_user, 'source', 'api',
        'type', 'paywall.authorization.requested', 'facts', jsonb_build_object(
            'requestId', v_id, 'approvalUrl', p_user,
            'mode', CASE WHEN p_live THEN 'live' ELSE 'test' END))));
END $$;

-- A grant that is given opens the person's wallet to the user; one that is withdrawn closes it.
CREATE FUNCTION billing_grant_given() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE paywalls_enduser u SET wallet_id = ledger_account_open(
        'wallet', NEW.person_id, w.currency, NEW.livemode, 0)
        FROM paywalls_paywall w WHERE u.id = NEW.end_user_id AND w.id = NEW.paywall_id
            AND w.mode = 'shared' AND u.paywall_id = w.id AND u.livemode = NEW.livemode;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'grants are for users of Shared paywalls' USING ERRCODE = 'PW004';
    END IF;
    PERFORM billing_events_put(jsonb_build_array(jsonb_build_object(
        'paywall', NEW.paywall_id, 'live', NEW.livemode, 'user', NEW.end_user_id,
        'source', 'wallet', 'type', 'paywall.authorization.completed',
        'facts', jsonb_build_object('connectionId', NEW.id))));
    RETURN NULL;
END $$;
CREATE TRIGGER grant_given AFTER INSERT ON paywalls_grant
    FOR EACH ROW EXECUTE FUNCTION billing_grant_given();

CREATE FUNCTION billing_grant_withdrawn() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE paywalls_enduser SET wallet_id = NULL WHERE id = NEW.end_user_id;
    PERFORM billing_events_put(jsonb_build_array(jsonb_build_object(
        'paywall', NEW.paywall_id, 'live', NEW.livemode, 'user', NEW.end_user_id,
        'source', CASE WHEN NEW.revoked_by LIKE 'key\_%' THEN 'api' ELSE 'wallet' END,
        'actor', NEW.revoked_by, 'type', 'paywall.authorization.revoked', 'facts', '{}'::jsonb)));
    RETURN NULL;
END $$;
CREATE TRIGGER grant_withdrawn AFTER UPDATE ON paywalls_grant
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL)
    EXECUTE FUNCTION billing_grant_withdrawn();

CREATE FUNCTION billing_grant_declined() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM billing_events_put((
        SELECT jsonb_build_array(jsonb_build_object(
            'paywall', NEW.paywall_id, 'live', u.livemode, 'user', u.id, 'source', 'wallet',
            'type', 'paywall.authorization.declined', 'facts', jsonb_build_object(
                'requestId', NEW.id, 'reason', NEW.reason, 'person', NEW.person_id)))
        FROM paywalls_enduser u WHERE u.id = NEW.end_user_id));
    RETURN NULL;
END $$;
CREATE TRIGGER grant_declined AFTER UPDATE ON paywalls_grantrequest
    FOR EACH ROW WHEN (OLD.state = 'pending' AND NEW.state = 'declined')
    EXECUTE FUNCTION billing_grant_declined();

-- Events of Shared paywalls say whose wallet it is: the last person who allowed that user anything.
CREATE FUNCTION billing_event_person() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT NEW.facts ? 'person'
        AND EXISTS (SELECT FROM paywalls_paywall WHERE id = NEW.paywall_id AND mode = 'shared')
    THEN
        NEW.facts := NEW.facts || jsonb_build_object('person', (
            SELECT person_id FROM paywalls_grant WHERE end_user_id = NEW.user_id
            ORDER BY id DESC LIMIT 1));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER event_person BEFORE INSERT ON billing_event
    FOR EACH ROW EXECUTE FUNCTION billing_event_person();

-- A developer's hand never reaches a person's wallet: no deposits, bonuses, adjustments, reversals or
-- credit lines on a Shared paywall (PW004).
CREATE FUNCTION billing_default_only(p_paywall uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM paywalls_paywall WHERE id = p_paywall AND mode = 'shared') THEN
        RAISE EXCEPTION 'a wallet of a person is not the paywall''s' USING ERRCODE = 'PW004';
    END IF;
END $$;

ALTER FUNCTION billing_credit_book(jsonb) RENAME TO billing_credit_default;
CREATE FUNCTION billing_credit_book(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM billing_default_only((p ->> 'paywall')::uuid);
    RETURN billing_credit_default(p);
END $$;

ALTER FUNCTION billing_claw(jsonb) RENAME TO billing_claw_default;
CREATE FUNCTION billing_claw(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM billing_default_only((p ->> 'paywall')::uuid);
    RETURN billing_claw_default(p);
END $$;

ALTER FUNCTION billing_credit_line(uuid, bigint) RENAME TO billing_credit_line_default;
CREATE FUNCTION billing_credit_line(
    p_user uuid, p_line bigint, OUT o_before bigint, OUT o_spendable bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM billing_default_only(paywall_id) FROM paywalls_enduser WHERE id = p_user;
    SELECT d.o_before, d.o_spendable INTO o_before, o_spendable
        FROM billing_credit_line_default(p_user, p_line) d;
END $$;

-- Credits a person's wallet. p: id (transaction), kind (topup, bonus, adjustment), scope, ref, print,
-- person, live, cur, amount, from (account kind of the operator), actor, reason, metadata.
CREATE FUNCTION billing_person_credit(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_live boolean := p ->> 'live';
    v_wallet uuid := ledger_account_open(
        'wallet', (p ->> 'person')::uuid, p ->> 'cur', v_live, 0);
    v_booked record;
BEGIN
    SELECT * INTO v_booked FROM ledger_credit(
        (p ->> 'id')::uuid, p ->> 'kind', (p ->> 'kind') || ':person' || billing_mode(p),
        p ->> 'ref', decode(p ->> 'print', 'hex'), NULL, p ->> 'actor', NULL, NULL, v_wallet,
        ledger_account_open(p ->> 'from', billing_operator(), p ->> 'cur', v_live, NULL),
        (p ->> 'amount')::bigint, p ->> 'reason',
        CASE jsonb_typeof(p -> 'metadata') WHEN 'object' THEN p -> 'metadata' END,
        NULL, NULL, NULL, NULL);
    -- From here on a user without money is news again.
    DELETE FROM billing_eventmark m USING paywalls_grant g
        WHERE g.person_id = (p ->> 'person')::uuid AND g.revoked_at IS NULL
            AND m.paywall_id = g.paywall_id AND m.mark = 'depleted:' || g.end_user_id;
    RETURN jsonb_build_object('id', p -> 'id', 'outcome', 'booked', 'txn', v_booked.o_id,
        'user', p -> 'person', 'charged', p -> 'amount', 'replayed', v_booked.o_replayed,
        'available', billing_spendable(v_wallet));
END $$;

-- What grants have spent in their period, holds included, by the paywall's calendar.
CREATE FUNCTION billing_grants_spent(p_grants uuid[]) RETURNS TABLE (o_grant uuid, o_spent bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT g.id, CASE g.cap_period
        WHEN 'day' THEN CASE WHEN c.day = t.today::date THEN c.day_spent ELSE 0 END
        WHEN 'week' THEN
            CASE WHEN c.week = date_trunc('week', t.today)::date THEN c.week_spent ELSE 0 END
        WHEN 'month' THEN
            CASE WHEN c.month = date_trunc('month', t.today)::date THEN c.month_spent ELSE 0 END
        ELSE c.total_spent END
    FROM paywalls_grant g JOIN paywalls_paywall w ON w.id = g.paywall_id
    JOIN ledger_counter c ON c.id = g.id
    CROSS JOIN LATERAL (SELECT ledger_now(g.livemode) AT TIME ZONE w.timezone AS today) t
    WHERE g.id = ANY (p_grants)
$$;

-- What a Shared paywall may know of one of its users: {user, connected, since, left}. left: what the
-- app can spend now, by wallet and cap. A user never seen is null.
CREATE FUNCTION billing_shared_user(p_paywall uuid, p_live boolean, p_user text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT jsonb_build_object('user', u.id, 'connected', g.id IS NOT NULL AND u.wallet_id IS NOT NULL,
        'since', g.created_at, 'left', CASE WHEN g.id IS NULL THEN 0 ELSE greatest(least(
            billing_spendable(u.wallet_id), g.cap - coalesce(
                (SELECT o_spent FROM billing_grants_spent(ARRAY[g.id])), 0)), 0) END)
    FROM paywalls_enduser u
    LEFT JOIN paywalls_grant g ON g.end_user_id = u.id AND g.revoked_at IS NULL
        AND g.paused_at IS NULL AND (g.ends_at IS NULL OR g.ends_at > ledger_now(p_live))
    WHERE u.paywall_id = p_paywall AND u.livemode = p_live AND u.external_id = p_user
$$;

-- The same, and the user is made and a request with it where there is no grant.
CREATE FUNCTION billing_shared_connect(p_paywall uuid, p_live boolean, p_user text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_user uuid := (billing_user(p_paywall, p_live, p_user, '', NULL)).id;
BEGIN
    IF NOT EXISTS (SELECT FROM paywalls_grant WHERE end_user_id = v_user AND revoked_at IS NULL) THEN
        PERFORM billing_grant_ask(p_paywall, p_live, v_user);
    END IF;
    RETURN billing_shared_user(p_paywall, p_live, p_user);
END $$;
