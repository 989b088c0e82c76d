DROP FUNCTION ledger_give_back(uuid, text, text, bytea, text, uuid, uuid, uuid, bigint, bigint, text);
DROP FUNCTION ledger_lots_restore(jsonb, bigint, bigint, bigint);
