DROP FUNCTION billing_partitions_ensure(integer);
DROP TABLE billing_request;
DROP FUNCTION billing_uuid_floor(timestamptz);
