DROP FUNCTION billing_reserve_many(jsonb, uuid, integer, integer);
DROP FUNCTION billing_reserve_one(jsonb, uuid, integer, integer);
DROP FUNCTION billing_lock(jsonb);
DROP FUNCTION billing_claim(jsonb);
DROP FUNCTION billing_counters(jsonb, uuid, jsonb);
DROP FUNCTION billing_user(uuid, boolean, text, text, jsonb);
DROP FUNCTION billing_closed(uuid, uuid);
