DROP FUNCTION billing_credit(jsonb);
ALTER FUNCTION billing_credit_told(jsonb) RENAME TO billing_credit;
DROP TABLE billing_deposit_answer;
