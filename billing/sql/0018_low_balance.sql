-- Balances that fall low, found behind the requests: a worker reads the entries since its last look,
-- so that settling one costs nothing, whoever wants to know.

-- Looks at the wallets of at most p_most entries after the watermark, up to p_upto, below which none
-- may be missing. A balance counts without what is held, which may yet come back. A wallet that was
-- at or above its paywall's threshold and is not any more is told once, until it has risen again;
-- one below what its user agreed to is due for an automatic top-up. Returns the entry it came to.
CREATE FUNCTION billing_low_watch(p_upto bigint, p_most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_from bigint;
    v_upto bigint;
    v_events jsonb;
BEGIN
    SELECT watched_upto INTO v_from FROM billing_low_watch WHERE id = 1 FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        -- Somebody wants to know from now on.
        INSERT INTO billing_low_watch (id, watched_upto) VALUES (1, p_upto) ON CONFLICT DO NOTHING;
        RETURN p_upto;
    END IF;
    v_upto := least(p_upto, v_from + p_most);
    IF v_upto <= v_from THEN RETURN v_from; END IF;
    WITH changed AS MATERIALIZED (
        SELECT account_id, max(greatest(balance_after, balance_after - amount)) AS peak
        FROM ledger_entry
        WHERE id > v_from AND id <= v_upto AND balance_after IS NOT NULL GROUP BY account_id
    ), levels AS MATERIALIZED (
        SELECT u.id, u.paywall_id, u.livemode, a.id AS wallet_id, a.posted - a.floor AS level,
            c.peak - a.floor AS peak, s.low_balance_nanos AS threshold
        FROM changed c
        JOIN ledger_account a ON a.id = c.account_id AND a.kind = 'wallet'
        JOIN paywalls_enduser u ON u.id = a.owner
        LEFT JOIN billing_paymentsettings s ON s.paywall_id = u.paywall_id
    ), due AS (
        UPDATE billing_refill_agreement r SET due_at = v_now
        FROM levels l
        JOIN paywalls_enduser u ON u.wallet_id = l.wallet_id
        JOIN billing_stripe_customer c ON c.user_id = u.id
        WHERE r.customer_id = c.id AND r.status = 'on' AND l.level < r.below_nanos
            -- Whoever is at it now may have looked at the balance before it fell.
            AND (r.due_at IS NULL OR r.leased_until > v_now)
    ), risen AS (
        DELETE FROM billing_low_balance b USING levels l
        WHERE b.user_id = l.id AND (l.threshold IS NULL OR l.level >= l.threshold)
    ), fallen AS (
        INSERT INTO billing_low_balance (user_id, paywall_id, level_nanos, threshold_nanos, since)
        SELECT id, paywall_id, level, threshold, v_now FROM levels
        WHERE level < threshold AND peak >= threshold
        ORDER BY id
        ON CONFLICT (user_id) DO NOTHING
        RETURNING user_id, level_nanos, threshold_nanos
    )
    SELECT jsonb_agg(billing_event_of(
        jsonb_build_object('paywall', l.paywall_id, 'live', l.livemode, 'source', 'system'),
        'paywall.balance.low', l.id,
        jsonb_build_object('availableBalance', f.level_nanos, 'threshold', f.threshold_nanos)))
        INTO v_events FROM fallen f JOIN levels l ON l.id = f.user_id;
    PERFORM billing_events_put(v_events);
    UPDATE billing_low_watch SET watched_upto = v_upto WHERE id = 1;
    RETURN v_upto;
END $$;
