-- Refunds give back what was taken: money of a lot goes back to that lot.

-- Puts p_amount of a charge back into the lots it came from. p_lots: what its hold had set aside, in
-- spending order, of which the first p_charged nanos were spent; p_back: what came back before. What
-- was spent last comes back first, so money that was in no lot comes back before that of lots.
CREATE FUNCTION ledger_lots_restore(
    p_lots jsonb, p_charged bigint, p_back bigint, p_amount bigint
) RETURNS void LANGUAGE sql AS $$
    UPDATE ledger_lot l SET remaining = l.remaining + part.nanos FROM (
        SELECT id, least(ends, p_charged - p_back)
            - greatest(ends - nanos, p_charged - p_back - p_amount) AS nanos
        FROM (
            SELECT (value ->> 0)::uuid AS id, (value ->> 1)::bigint AS nanos,
                sum((value ->> 1)::bigint) OVER (ORDER BY ordinality)::bigint AS ends
            FROM jsonb_array_elements(p_lots) WITH ORDINALITY
        ) spent
    ) part WHERE l.id = part.id AND part.nanos > 0
$$;

-- Credits a wallet with (part of) a charge, from the account that had earned it. Lots get theirs
-- back under their own rules: what has expired meanwhile is booked as expired, here and now. An
-- open receivable is paid out of the rest.
CREATE FUNCTION ledger_give_back(
    p_id uuid, p_scope text, p_ref text, p_fingerprint bytea, p_actor text, p_charge uuid,
    p_wallet uuid, p_from uuid, p_amount bigint, p_back bigint, p_reason text,
    OUT o_id uuid, OUT o_replayed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_hold record;
BEGIN
    SELECT p.o_id, p.o_replayed INTO o_id, o_replayed FROM ledger_post(
        p_id, 'refund', p_scope, p_ref, p_fingerprint, NULL, p_actor, p_charge, NULL,
        ARRAY[p_wallet, p_from], ARRAY[p_amount, -p_amount], p_reason, NULL) p;
    IF o_replayed THEN RETURN; END IF;
    SELECT h.lots, h.settled INTO v_hold FROM ledger_transaction t
        JOIN ledger_hold h ON h.id = t.request_id WHERE t.id = p_charge;
    IF v_hold.lots IS NOT NULL THEN
        PERFORM ledger_lots_restore(v_hold.lots, v_hold.settled, p_back, p_amount);
        UPDATE ledger_account SET has_lots = true WHERE id = p_wallet;
        PERFORM ledger_lots_expire(p_wallet);
    END IF;
    PERFORM ledger_collect(p_wallet);
END $$;
