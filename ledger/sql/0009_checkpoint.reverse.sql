DROP FUNCTION ledger_checkpoint_add(text);
DROP TRIGGER checkpoint_kept ON ledger_checkpoint;
DROP TRIGGER checkpoint_not_truncated ON ledger_checkpoint;
