DROP FUNCTION billing_credit_line(uuid, bigint);
