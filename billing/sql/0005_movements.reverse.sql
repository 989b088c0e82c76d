DROP FUNCTION billing_refund(jsonb);
DROP FUNCTION billing_claw(jsonb);
DROP FUNCTION billing_credit(jsonb);
DROP FUNCTION billing_balance(uuid, boolean, text);
DROP FUNCTION billing_spendable(uuid);
DROP FUNCTION billing_charge_many(jsonb);
DROP FUNCTION billing_charge_one(jsonb);
DROP FUNCTION billing_mode(jsonb);
