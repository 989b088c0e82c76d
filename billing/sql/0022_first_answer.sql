-- A deposit that is sent again gets the first answer again, with the balance of then: what was held
-- or collected at that moment cannot be told from the entries.
CREATE TABLE billing_deposit_answer (
    transaction_id uuid PRIMARY KEY REFERENCES ledger_transaction,
    available bigint NOT NULL
);

ALTER FUNCTION billing_credit(jsonb) RENAME TO billing_credit_told;
CREATE FUNCTION billing_credit(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_done jsonb := billing_credit_told(p);
    v_txn uuid := v_done ->> 'txn';
    v_first bigint;
BEGIN
    -- Only apps repeat deposits by a key of theirs.
    IF v_done ->> 'outcome' <> 'booked' OR p ->> 'kind' <> 'deposit' OR p ->> 'print' IS NULL THEN
        RETURN v_done;
    END IF;
    IF (v_done ->> 'replayed')::boolean THEN
        SELECT available INTO v_first FROM billing_deposit_answer WHERE transaction_id = v_txn;
        RETURN v_done || jsonb_build_object('available', coalesce(
            v_first, (v_done ->> 'available')::bigint));
    END IF;
    INSERT INTO billing_deposit_answer (transaction_id, available)
        VALUES (v_txn, (v_done ->> 'available')::bigint);
    RETURN v_done;
END $$;
