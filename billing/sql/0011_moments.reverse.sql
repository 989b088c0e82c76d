DROP TRIGGER change_told ON paywalls_change;
DROP FUNCTION billing_change_told();
-- As it was in 0003_reserve.sql.
CREATE OR REPLACE FUNCTION billing_user(
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
DROP FUNCTION billing_refund(jsonb);
ALTER FUNCTION billing_refund_book(jsonb) RENAME TO billing_refund;
DROP FUNCTION billing_credit(jsonb);
ALTER FUNCTION billing_credit_book(jsonb) RENAME TO billing_credit;
DROP FUNCTION billing_charge_one(jsonb);
ALTER FUNCTION billing_charge_book(jsonb) RENAME TO billing_charge_one;
DROP FUNCTION billing_events_settled(jsonb, jsonb);
DROP FUNCTION billing_events_reserved(jsonb, jsonb);
