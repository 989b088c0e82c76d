DROP FUNCTION billing_reap(integer, integer);
DROP FUNCTION billing_settle_many(jsonb);
DROP FUNCTION billing_settle_one(jsonb);
DROP FUNCTION billing_record(jsonb, jsonb);
