DROP FUNCTION ledger_balance(uuid);
DROP FUNCTION ledger_roll_up(integer);
