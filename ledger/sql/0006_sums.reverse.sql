DROP FUNCTION ledger_total(uuid);
