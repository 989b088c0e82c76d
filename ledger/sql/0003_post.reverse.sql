DROP FUNCTION ledger_lots_expire(uuid);
DROP FUNCTION ledger_claw(uuid, text, text, text, bytea, text, uuid, uuid, uuid, bigint, text, jsonb);
DROP FUNCTION ledger_credit(uuid, text, text, text, bytea, uuid, text, uuid, timestamptz, uuid, uuid,
    bigint, text, jsonb, text, smallint, timestamptz, uuid);
DROP FUNCTION ledger_collect(uuid);
DROP FUNCTION ledger_post(uuid, text, text, text, bytea, uuid, text, uuid, timestamptz, uuid[],
    bigint[], text, jsonb);
DROP FUNCTION ledger_lots_take(uuid, bigint);
DROP FUNCTION ledger_account_open(text, uuid, text, boolean, bigint);
DROP FUNCTION ledger_uuid7();
DROP FUNCTION ledger_now(boolean);
