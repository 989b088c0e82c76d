DROP FUNCTION billing_low_watch(bigint, integer);
