-- What refunds and disputes take from a person's wallet, or with an amount below 0 give it again.
-- What is not there to take becomes a receivable. p: id, ref, print, person, cur, live, amount,
-- actor, reason.
CREATE FUNCTION billing_person_reverse(p jsonb) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_live boolean := p ->> 'live';
    v_amount bigint := p ->> 'amount';
    v_wallet uuid := ledger_account_open('wallet', (p ->> 'person')::uuid, p ->> 'cur', v_live, 0);
    v_from uuid := billing_operator_account('processor', p ->> 'cur', v_live);
    v_booked record;
BEGIN
    IF v_amount > 0 THEN
        SELECT * INTO v_booked FROM ledger_claw(
            (p ->> 'id')::uuid, 'reversal', 'reversal:person' || billing_mode(p), p ->> 'ref',
            decode(p ->> 'print', 'hex'), p ->> 'actor', NULL, v_wallet, v_from, v_amount,
            p ->> 'reason', NULL);
    ELSE
        SELECT * INTO v_booked FROM ledger_credit(
            (p ->> 'id')::uuid, 'reversal', 'reversal:person' || billing_mode(p), p ->> 'ref',
            decode(p ->> 'print', 'hex'), NULL, p ->> 'actor', NULL, NULL, v_wallet, v_from,
            -v_amount, p ->> 'reason', NULL, NULL, NULL, NULL, NULL);
    END IF;
    RETURN v_booked.o_id;
END $$;
