-- Accounts, transactions and lots. Amounts in nanos. Errors: PW001 insufficient funds,
-- PW002 the reference was used for another movement.
--
-- Functions that are not SECURITY DEFINER work only inside one that is: alone, the runtime role has
-- no right to the tables they write.

-- The ledger's clock. Test money may get its own offset one day; live money never.
CREATE FUNCTION ledger_now(p_livemode boolean) RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT clock_timestamp()';

-- RFC 9562: the random bits of a version 4 under 48 bits of milliseconds, the version set to 7.
CREATE FUNCTION ledger_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING substring(
        int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- The account of an owner, made when it is missing. p_floor null: never locked, rolled up.
CREATE FUNCTION ledger_account_open(
    p_kind text, p_owner uuid, p_currency text, p_livemode boolean, p_floor bigint
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    LOOP
        SELECT id INTO v_id FROM ledger_account
            WHERE kind = p_kind AND owner = p_owner AND currency = p_currency
                AND livemode = p_livemode;
        IF FOUND THEN RETURN v_id; END IF;
        INSERT INTO ledger_account (
            id, kind, owner, currency, livemode, posted, held, owed, floor, version, has_lots,
            created_at
        ) VALUES (
            ledger_uuid7(), p_kind, p_owner, p_currency, p_livemode, 0, 0, 0, p_floor, 0, false,
            clock_timestamp()
        ) ON CONFLICT DO NOTHING RETURNING id INTO v_id;
        IF FOUND THEN RETURN v_id; END IF;
    END LOOP;
END $$;

-- Takes p_amount out of an account's lots that are not held, in spending order.
CREATE FUNCTION ledger_lots_take(p_account uuid, p_amount bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_lot record;
    v_left bigint := p_amount;
    v_part bigint;
BEGIN
    FOR v_lot IN
        SELECT id, remaining - held AS free FROM ledger_lot
        WHERE account_id = p_account AND remaining > held
        ORDER BY priority, expires_at NULLS LAST, id
    LOOP
        EXIT WHEN v_left <= 0;
        v_part := least(v_left, v_lot.free);
        UPDATE ledger_lot SET remaining = remaining - v_part WHERE id = v_lot.id;
        v_left := v_left - v_part;
    END LOOP;
END $$;

-- Writes one balanced transaction, or finds the one already written under (scope, ref).
-- Locks the accounts that have a floor in id order; a debit below a floor raises PW001. Money that
-- leaves a wallet other than by a charge takes what is in no lot first. Each account once.
CREATE FUNCTION ledger_post(
    p_id uuid, p_kind text, p_scope text, p_ref text, p_fingerprint bytea, p_request uuid,
    p_actor text, p_reverses uuid, p_occurred timestamptz, p_accounts uuid[], p_amounts bigint[],
    p_reason text, p_metadata jsonb, OUT o_id uuid, OUT o_replayed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_old record;
    v_leg record;
    v_lots bigint;
BEGIN
    PERFORM 1 FROM ledger_account
        WHERE id = ANY (p_accounts) AND floor IS NOT NULL ORDER BY id FOR NO KEY UPDATE;
    INSERT INTO ledger_transaction (
        id, kind, scope, ref, fingerprint, request_id, actor, reverses_id, occurred_at, created_at
    ) VALUES (
        p_id, p_kind, p_scope, p_ref, p_fingerprint, p_request, coalesce(p_actor, ''), p_reverses,
        coalesce(p_occurred, v_now), v_now
    ) ON CONFLICT (scope, ref) DO NOTHING;
    IF NOT FOUND THEN
        SELECT id, fingerprint INTO v_old FROM ledger_transaction
            WHERE scope = p_scope AND ref = p_ref;
        IF v_old.fingerprint IS DISTINCT FROM p_fingerprint THEN
            RAISE EXCEPTION 'reference used for another movement' USING ERRCODE = 'PW002';
        END IF;
        o_id := v_old.id;
        o_replayed := true;
        RETURN;
    END IF;
    o_id := p_id;
    o_replayed := false;

    FOR v_leg IN
        SELECT a.id, a.kind, a.posted, a.held, a.floor, a.has_lots, l.amount
        FROM unnest(p_accounts, p_amounts) AS l (account, amount)
        JOIN ledger_account a ON a.id = l.account
        WHERE a.floor IS NOT NULL
    LOOP
        IF v_leg.amount < 0 AND v_leg.posted - v_leg.held + v_leg.amount < v_leg.floor THEN
            RAISE EXCEPTION 'insufficient funds' USING ERRCODE = 'PW001';
        END IF;
        UPDATE ledger_account SET posted = posted + v_leg.amount, version = version + 1
            WHERE id = v_leg.id;
        IF v_leg.has_lots AND v_leg.amount < 0 AND p_kind <> 'expiry' THEN
            SELECT coalesce(sum(remaining - held), 0) INTO v_lots FROM ledger_lot
                WHERE account_id = v_leg.id;
            PERFORM ledger_lots_take(
                v_leg.id, v_lots - greatest(v_leg.posted - v_leg.held + v_leg.amount, 0));
        END IF;
    END LOOP;

    INSERT INTO ledger_entry (
        transaction_id, account_id, amount, balance_after, account_version, created_at
    )
    SELECT p_id, l.account, l.amount,
        CASE WHEN a.floor IS NOT NULL THEN a.posted END,
        CASE WHEN a.floor IS NOT NULL THEN a.version END, v_now
    FROM unnest(p_accounts, p_amounts) AS l (account, amount)
    JOIN ledger_account a ON a.id = l.account;
    IF p_reason IS NOT NULL OR p_metadata IS NOT NULL THEN
        INSERT INTO ledger_note (transaction_id, reason, metadata)
            VALUES (p_id, coalesce(p_reason, ''), p_metadata);
    END IF;
END $$;

-- Pays an open receivable out of what the wallet has free. The caller holds the wallet's lock.
CREATE FUNCTION ledger_collect(p_wallet uuid) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_wallet ledger_account;
    v_amount bigint;
    v_id uuid := ledger_uuid7();
BEGIN
    SELECT * INTO v_wallet FROM ledger_account WHERE id = p_wallet FOR NO KEY UPDATE;
    v_amount := least(v_wallet.owed, v_wallet.posted - v_wallet.held - greatest(v_wallet.floor, 0));
    IF v_amount <= 0 THEN RETURN 0; END IF;
    PERFORM ledger_post(
        v_id, 'collection', 'collection', v_id::text, NULL, NULL, 'ledger', NULL, NULL,
        ARRAY[p_wallet, ledger_account_open(
            'receivable', v_wallet.owner, v_wallet.currency, v_wallet.livemode, NULL)],
        ARRAY[-v_amount, v_amount], NULL, NULL);
    UPDATE ledger_account SET owed = owed - v_amount WHERE id = p_wallet;
    RETURN v_amount;
END $$;

-- Credits a wallet; an open receivable is paid first, in the same atomic block. With p_lot_kind the
-- money becomes a lot of its own, which may expire (to the account p_lot_to).
CREATE FUNCTION ledger_credit(
    p_id uuid, p_kind text, p_scope text, p_ref text, p_fingerprint bytea, p_request uuid,
    p_actor text, p_reverses uuid, p_occurred timestamptz, p_wallet uuid, p_from uuid,
    p_amount bigint, p_reason text, p_metadata jsonb, p_lot_kind text, p_lot_priority smallint,
    p_lot_expires timestamptz, p_lot_to uuid, OUT o_id uuid, OUT o_replayed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_paid bigint;
BEGIN
    SELECT p.o_id, p.o_replayed INTO o_id, o_replayed FROM ledger_post(
        p_id, p_kind, p_scope, p_ref, p_fingerprint, p_request, p_actor, p_reverses, p_occurred,
        ARRAY[p_wallet, p_from], ARRAY[p_amount, -p_amount], p_reason, p_metadata) p;
    IF o_replayed THEN RETURN; END IF;
    v_paid := ledger_collect(p_wallet);
    IF p_lot_kind IS NOT NULL AND p_amount > v_paid THEN
        INSERT INTO ledger_lot (
            id, account_id, transaction_id, kind, priority, amount, remaining, held, expires_at,
            expires_to, created_at
        ) VALUES (
            ledger_uuid7(), p_wallet, p_id, p_lot_kind, p_lot_priority, p_amount,
            p_amount - v_paid, 0, p_lot_expires, p_lot_to, clock_timestamp());
        UPDATE ledger_account SET has_lots = true WHERE id = p_wallet;
    END IF;
END $$;

-- Debits a wallet by what it has free and books the rest as a receivable: never below the floor,
-- nothing clamped away. For reversals and adjustments, not for charges.
CREATE FUNCTION ledger_claw(
    p_id uuid, p_kind text, p_scope text, p_ref text, p_fingerprint bytea, p_actor text,
    p_reverses uuid, p_wallet uuid, p_to uuid, p_amount bigint, p_reason text, p_metadata jsonb,
    OUT o_id uuid, OUT o_replayed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_wallet ledger_account;
    v_take bigint;
    v_accounts uuid[] := ARRAY[p_to];
    v_amounts bigint[] := ARRAY[p_amount];
BEGIN
    SELECT * INTO v_wallet FROM ledger_account WHERE id = p_wallet FOR NO KEY UPDATE;
    v_take := least(p_amount, greatest(v_wallet.posted - v_wallet.held - v_wallet.floor, 0));
    IF v_take > 0 THEN
        v_accounts := v_accounts || p_wallet;
        v_amounts := v_amounts || -v_take;
    END IF;
    IF p_amount > v_take THEN
        v_accounts := v_accounts || ledger_account_open(
            'receivable', v_wallet.owner, v_wallet.currency, v_wallet.livemode, NULL);
        v_amounts := v_amounts || v_take - p_amount;
    END IF;
    SELECT p.o_id, p.o_replayed INTO o_id, o_replayed FROM ledger_post(
        p_id, p_kind, p_scope, p_ref, p_fingerprint, NULL, p_actor, p_reverses, NULL,
        v_accounts, v_amounts, p_reason, p_metadata) p;
    IF NOT o_replayed AND p_amount > v_take THEN
        UPDATE ledger_account SET owed = owed + p_amount - v_take WHERE id = p_wallet;
    END IF;
END $$;

-- Books the free part of an account's expired lots to where they expire to; returns how much.
-- The caller holds the account's lock, or takes it here.
CREATE FUNCTION ledger_lots_expire(p_account uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_account ledger_account;
    v_lot record;
    v_sum bigint := 0;
    v_id uuid;
BEGIN
    SELECT * INTO v_account FROM ledger_account WHERE id = p_account FOR NO KEY UPDATE;
    FOR v_lot IN
        SELECT id, remaining - held AS free, expires_to FROM ledger_lot
        WHERE account_id = p_account AND remaining > held
            AND expires_at <= ledger_now(v_account.livemode)
        ORDER BY id
    LOOP
        v_id := ledger_uuid7();
        UPDATE ledger_lot SET remaining = remaining - v_lot.free WHERE id = v_lot.id;
        PERFORM ledger_post(
            v_id, 'expiry', 'expiry', v_id::text, NULL, NULL, 'ledger', NULL, NULL,
            ARRAY[p_account, v_lot.expires_to], ARRAY[-v_lot.free, v_lot.free], NULL, NULL);
        v_sum := v_sum + v_lot.free;
    END LOOP;
    IF NOT EXISTS (SELECT FROM ledger_lot WHERE account_id = p_account AND remaining > 0) THEN
        UPDATE ledger_account SET has_lots = false WHERE id = p_account AND has_lots;
    END IF;
    RETURN v_sum;
END $$;
