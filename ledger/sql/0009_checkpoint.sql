-- A chain over the journal: each checkpoint has the digest of the transactions since the one before,
-- and a hash over that digest and the hash before. Whoever kept a hash outside notices when anything
-- older was changed, added or taken away. `ledger/chain.py` computes, `ledger/outside_verify.py`
-- checks.

CREATE TRIGGER checkpoint_kept BEFORE UPDATE OR DELETE ON ledger_checkpoint
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER checkpoint_not_truncated BEFORE TRUNCATE ON ledger_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

-- Appends a checkpoint and returns its hash. p_body: an object with at least number, after and upto,
-- which continue the last checkpoint; kept byte by byte. 40001 when somebody else was quicker.
CREATE FUNCTION ledger_checkpoint_add(p_body text) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_number bigint := p_body::jsonb ->> 'number';
    v_after bigint := p_body::jsonb ->> 'after';
    v_upto bigint := p_body::jsonb ->> 'upto';
    v_last ledger_checkpoint;
    v_hash bytea;
BEGIN
    LOCK TABLE ledger_checkpoint IN SHARE ROW EXCLUSIVE MODE;
    SELECT * INTO v_last FROM ledger_checkpoint ORDER BY number DESC LIMIT 1;
    IF v_number IS DISTINCT FROM coalesce(v_last.number, 0) + 1
        OR v_after IS DISTINCT FROM coalesce(v_last.upto, 0) OR (v_upto > v_after) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'not the next checkpoint' USING ERRCODE = 'serialization_failure';
    END IF;
    v_hash := sha256(
        coalesce(v_last.hash, decode(repeat('00', 32), 'hex')) || convert_to(p_body, 'UTF8'));
    INSERT INTO ledger_checkpoint (number, upto, body, hash, created_at)
        VALUES (v_number, v_upto, p_body, v_hash, clock_timestamp());
    RETURN v_hash;
END $$;
