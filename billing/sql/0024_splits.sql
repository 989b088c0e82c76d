-- How a Shared charge is shared between the provider, the developer and the platform, and so are its
-- refunds. `to` of a bill is the developer's earnings; `parties` names who gets a share of them:
-- [platform fee, provider cost].

-- The operator, as an owner of accounts, and the built-in provider, as a connection.
CREATE FUNCTION billing_operator() RETURNS uuid LANGUAGE sql IMMUTABLE
AS $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;

CREATE TRIGGER fee_kept BEFORE UPDATE OR DELETE ON billing_platformfee
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER fee_kept_whole BEFORE TRUNCATE ON billing_platformfee
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER split_kept BEFORE UPDATE OR DELETE ON billing_split
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER split_kept_whole BEFORE TRUNCATE ON billing_split
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

-- How a charge is shared; the three always add up to it. The provider's cost comes first, then the
-- platform's fee (a share of the charge in millionths, rounded down, out of what is left), and the
-- rest is the developer's, who also bears what a cost above the charge takes: only then it is below 0.
CREATE FUNCTION billing_parts(p_charge bigint, p_cost bigint, p_ppm integer)
RETURNS TABLE (o_cost bigint, o_fee bigint, o_earned bigint) LANGUAGE sql IMMUTABLE AS $$
    SELECT p_cost, fee, p_charge - p_cost - fee FROM (
        SELECT greatest(least(div(p_charge::numeric * p_ppm, 1000000), p_charge - p_cost), 0)::bigint
    ) AS f (fee)
$$;

-- Where a Shared paywall's charges go: `to`, then `parties`.
CREATE FUNCTION billing_parties(p_paywall uuid, p_live boolean) RETURNS uuid[]
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT ARRAY[
        ledger_account_open('earnings_pending', team_id, currency, p_live, NULL),
        ledger_account_open('platform_fee', billing_operator(), currency, p_live, NULL),
        ledger_account_open('provider_cost', billing_operator(), currency, p_live, NULL)
    ] FROM paywalls_paywall WHERE id = p_paywall AND mode = 'shared'
$$;

-- Books what others get of charges that were booked as earnings just now: further legs of the same
-- transaction, which balance by themselves. Keeps how it was shared, by the fee of the moment at which
-- the hold was placed.
CREATE FUNCTION billing_split_book(p_bills jsonb, p_results jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_is_shared boolean;
BEGIN
    WITH kept AS (
        INSERT INTO billing_split (
            transaction_id, paywall_id, user_id, grant_id, fee_number, fee_ppm, built_in, cost, fee,
            earned
        )
        SELECT b.txn, b.paywall, b."user", (h.facts ->> 'grant')::uuid, coalesce(f.number, 0),
            coalesce(f.ppm, 0), b.connection IS NOT DISTINCT FROM billing_operator(), s.o_cost,
            s.o_fee, s.o_earned
        FROM jsonb_to_recordset(p_bills) AS b (
            id uuid, txn uuid, paywall uuid, "user" uuid, connection uuid, provider_cost bigint)
        JOIN jsonb_to_recordset(p_results) AS r (id uuid, state text, charged bigint)
            ON r.id = b.id AND r.state = 'settled'
        JOIN ledger_hold h ON h.id = b.id
        LEFT JOIN LATERAL (
            SELECT number, ppm FROM billing_platformfee WHERE valid_from <= h.created_at
            ORDER BY valid_from DESC, number DESC LIMIT 1
        ) f ON true
        CROSS JOIN LATERAL billing_parts(r.charged,
            CASE WHEN b.connection = billing_operator() THEN b.provider_cost ELSE 0 END,
            coalesce(f.ppm, 0)) s
        RETURNING cost, fee
    )
    SELECT bool_or(cost > 0 OR fee > 0) INTO v_is_shared FROM kept;
    IF v_is_shared IS NOT TRUE THEN RETURN; END IF;
    INSERT INTO ledger_entry (transaction_id, account_id, amount, created_at)
    SELECT b.txn, leg.account, leg.amount, clock_timestamp()
    FROM jsonb_to_recordset(p_bills) AS b (id uuid, txn uuid, "to" uuid, parties uuid[])
    JOIN jsonb_to_recordset(p_results) AS r (id uuid, state text)
        ON r.id = b.id AND r.state = 'settled'
    JOIN billing_split s ON s.transaction_id = b.txn
    CROSS JOIN LATERAL unnest(b."to" || b.parties, ARRAY[-s.fee - s.cost, s.fee, s.cost])
        AS leg (account, amount)
    WHERE leg.amount <> 0;
END $$;

-- The same for one charge of so many nanos, by plain statements.
CREATE FUNCTION billing_split_one(
    p_bill jsonb, p_charged bigint, p_user uuid, p_grant uuid, p_begun timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_txn uuid := p_bill ->> 'txn';
    v_built_in boolean := coalesce((p_bill ->> 'connection')::uuid = billing_operator(), false);
    v_fee record;
    v record;
BEGIN
    SELECT number, ppm INTO v_fee FROM billing_platformfee WHERE valid_from <= p_begun
        ORDER BY valid_from DESC, number DESC LIMIT 1;
    SELECT * INTO v FROM billing_parts(p_charged,
        CASE WHEN v_built_in THEN (p_bill ->> 'provider_cost')::bigint ELSE 0 END,
        coalesce(v_fee.ppm, 0));
    IF v.o_fee > 0 OR v.o_cost > 0 THEN
        INSERT INTO ledger_entry (transaction_id, account_id, amount, created_at)
        SELECT v_txn, account, amount, clock_timestamp() FROM (VALUES
            ((p_bill ->> 'to')::uuid, -v.o_fee - v.o_cost),
            ((p_bill #>> '{parties,0}')::uuid, v.o_fee),
            ((p_bill #>> '{parties,1}')::uuid, v.o_cost)
        ) AS leg (account, amount) WHERE amount <> 0;
    END IF;
    INSERT INTO billing_split (
        transaction_id, paywall_id, user_id, grant_id, fee_number, fee_ppm, built_in, cost, fee,
        earned
    ) VALUES (
        v_txn, (p_bill ->> 'paywall')::uuid, p_user, p_grant, coalesce(v_fee.number, 0),
        coalesce(v_fee.ppm, 0), v_built_in, v.o_cost, v.o_fee, v.o_earned);
END $$;

-- Gives back (part of) a shared charge. The platform gives its share of the fee back, rounded so that
-- all refunds together come to all of it; the developer gives the rest, what the provider took too.
ALTER FUNCTION billing_refund_book(jsonb) RENAME TO billing_refund_default;
CREATE FUNCTION billing_shared_refund(p jsonb, p_split billing_split) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_charge uuid := p ->> 'charge';
    v_scope text := 'refund:' || v_charge;
    v_amount bigint := p ->> 'amount';
    v_hold ledger_hold;
    v_back bigint;
    v_fee bigint;
    v_parties uuid[];
    v_booked record;
BEGIN
    SELECT h.* INTO v_hold FROM ledger_transaction t JOIN ledger_hold h ON h.id = t.request_id
        WHERE t.id = v_charge;
    PERFORM 1 FROM ledger_account WHERE id = v_hold.account_id FOR NO KEY UPDATE;
    SELECT coalesce(sum(e.amount), 0) INTO v_back
        FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
        WHERE t.reverses_id = v_charge AND e.account_id = v_hold.account_id
            AND NOT (t.scope = v_scope AND t.ref = p ->> 'ref');
    IF v_amount > v_hold.settled - v_back THEN
        RAISE EXCEPTION 'refunds would pass the charge' USING ERRCODE = 'PW003';
    END IF;
    v_fee := div(p_split.fee::numeric * (v_back + v_amount), v_hold.settled)
        - div(p_split.fee::numeric * v_back, v_hold.settled);
    SELECT billing_parties(p_split.paywall_id, a.livemode) INTO v_parties
        FROM ledger_account a WHERE a.id = v_hold.account_id;
    SELECT * INTO v_booked FROM ledger_give_back_parts(
        (p ->> 'id')::uuid, v_scope, p ->> 'ref', decode(p ->> 'print', 'hex'), p ->> 'actor',
        v_charge, v_hold.account_id,
        ARRAY(SELECT account FROM unnest(v_parties[1:2], ARRAY[v_amount - v_fee, v_fee])
            AS g (account, nanos) WHERE nanos <> 0 ORDER BY account),
        ARRAY(SELECT -nanos FROM unnest(v_parties[1:2], ARRAY[v_amount - v_fee, v_fee])
            AS g (account, nanos) WHERE nanos <> 0 ORDER BY account),
        v_amount, v_back, p ->> 'reason');
    IF NOT v_booked.o_replayed THEN
        INSERT INTO billing_split (
            transaction_id, paywall_id, user_id, grant_id, fee_number, fee_ppm, built_in, cost, fee,
            earned
        ) VALUES (
            v_booked.o_id, p_split.paywall_id, p_split.user_id, p_split.grant_id,
            p_split.fee_number, p_split.fee_ppm, p_split.built_in, 0, -v_fee, v_fee - v_amount);
    END IF;
    RETURN jsonb_build_object('id', p -> 'id', 'outcome', 'booked', 'txn', v_booked.o_id,
        'charged', v_amount, 'replayed', v_booked.o_replayed,
        'available', billing_spendable(v_hold.account_id));
END $$;

CREATE FUNCTION billing_refund_book(p jsonb) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_split billing_split;
BEGIN
    SELECT * INTO v_split FROM billing_split WHERE transaction_id = (p ->> 'charge')::uuid;
    RETURN CASE WHEN v_split.transaction_id IS NULL THEN billing_refund_default(p)
        ELSE billing_shared_refund(p, v_split) END;
END $$;
