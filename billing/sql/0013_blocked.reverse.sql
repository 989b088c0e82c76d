DROP FUNCTION billing_events_blocked(jsonb);
