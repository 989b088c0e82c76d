-- A request that a rule refused before any money was asked for, told. p: paywall, live, key, user (the
-- developer's own id; one never seen is nobody), request, reason.
CREATE FUNCTION billing_events_blocked(p jsonb) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT billing_events_put(jsonb_build_array(billing_event_of(
        p, 'paywall.proxy.request.blocked',
        (SELECT id FROM paywalls_enduser WHERE paywall_id = (p ->> 'paywall')::uuid
            AND livemode = (p ->> 'live')::boolean AND external_id = p ->> 'user'),
        jsonb_build_object('requestId', p -> 'request', 'reason', p -> 'reason'))))
$$;
