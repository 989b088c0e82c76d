DROP INDEX request_unwhole;
DROP FUNCTION billing_rank(integer);
DROP FUNCTION billing_roll_up();
