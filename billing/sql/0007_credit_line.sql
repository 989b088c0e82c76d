-- Lowers (or raises) a wallet's floor: a credit line. Not below what is used already, else PW001;
-- credits that may expire do not pay for what is used.
CREATE FUNCTION billing_credit_line(
    p_user uuid, p_line bigint, OUT o_before bigint, OUT o_spendable bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_wallet ledger_account;
    v_lots bigint;
BEGIN
    SELECT a.* INTO v_wallet FROM ledger_account a
        JOIN paywalls_enduser u ON u.wallet_id = a.id WHERE u.id = p_user
        FOR NO KEY UPDATE OF a;
    SELECT coalesce(sum(remaining - held), 0) INTO v_lots FROM ledger_lot
        WHERE account_id = v_wallet.id;
    IF v_wallet.posted - v_wallet.held - v_lots < -p_line THEN
        RAISE EXCEPTION 'the credit line is in use' USING ERRCODE = 'PW001';
    END IF;
    UPDATE ledger_account SET floor = -p_line WHERE id = v_wallet.id;
    o_before := -v_wallet.floor;
    o_spendable := billing_spendable(v_wallet.id);
END $$;
