-- The functions as they were.

CREATE OR REPLACE FUNCTION ledger_counters_check(
    p_counters jsonb, p_least bigint, p_zone text, p_now timestamptz,
    OUT o_most bigint, OUT o_refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_item record;
    v_row ledger_counter;
    v_local timestamp := p_now AT TIME ZONE p_zone;
    v_day date := v_local::date;
    v_month date := date_trunc('month', v_local)::date;
    v_to_day integer := ceil(extract(epoch FROM (v_day + 1) - v_local));
    v_to_month integer := ceil(extract(epoch FROM v_month + interval '1 month' - v_local));
    v_wait double precision;
    v_kind text;
    v_limit bigint;
    v_retry integer;
BEGIN
    o_most := 9223372036854775807;
    FOR v_item IN
        SELECT * FROM jsonb_to_recordset(p_counters) AS x (id uuid, subject text, caps jsonb)
        ORDER BY id
    LOOP
        SELECT * INTO v_row FROM ledger_counter WHERE id = v_item.id FOR NO KEY UPDATE;
        IF v_row.day IS DISTINCT FROM v_day THEN
            v_row.day_requests := 0;
            v_row.day_spent := 0;
        END IF;
        IF v_row.month IS DISTINCT FROM v_month THEN v_row.month_spent := 0; END IF;
        FOR v_kind, v_limit IN SELECT key, value::bigint FROM jsonb_each_text(v_item.caps) LOOP
            v_retry := NULL;
            CASE v_kind
                WHEN 'concurrency' THEN
                    IF v_row.open >= v_limit THEN v_retry := 1; END IF;
                WHEN 'requests_minute' THEN
                    v_wait := extract(epoch FROM greatest(v_row.tat, p_now) - p_now)
                        + 60.0 / greatest(v_limit, 1) - 60.0;
                    IF v_limit = 0 OR v_wait > 1e-6 THEN
                        v_retry := greatest(ceil(least(v_wait, 60)), 1);
                    END IF;
                WHEN 'requests_day' THEN
                    IF v_row.day_requests >= v_limit THEN v_retry := v_to_day; END IF;
                WHEN 'spend_day' THEN
                    o_most := least(o_most, v_limit - v_row.day_spent);
                    IF v_limit - v_row.day_spent < p_least OR v_row.day_spent >= v_limit THEN
                        v_retry := v_to_day;
                    END IF;
                WHEN 'spend_month' THEN
                    o_most := least(o_most, v_limit - v_row.month_spent);
                    IF v_limit - v_row.month_spent < p_least OR v_row.month_spent >= v_limit THEN
                        v_retry := v_to_month;
                    END IF;
                ELSE NULL;
            END CASE;
            IF v_retry IS NOT NULL AND o_refusal IS NULL THEN
                o_refusal := jsonb_build_object('subject', v_item.subject, 'kind', v_kind,
                    'limit', v_limit, 'retry_after', v_retry);
            END IF;
        END LOOP;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION ledger_counters_add(
    p_counters jsonb, p_amount bigint, p_zone text, p_now timestamptz
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_day date := (p_now AT TIME ZONE p_zone)::date;
    v_month date := date_trunc('month', p_now AT TIME ZONE p_zone)::date;
    v_back jsonb;
BEGIN
    IF p_counters IS NULL THEN RETURN NULL; END IF;
    UPDATE ledger_counter c SET
        open = c.open + 1,
        tat = CASE WHEN (x.caps ->> 'requests_minute')::bigint > 0
            THEN greatest(c.tat, p_now)
                + make_interval(secs => 60.0 / (x.caps ->> 'requests_minute')::bigint)
            ELSE c.tat END,
        day_requests = CASE WHEN c.day = v_day THEN c.day_requests ELSE 0 END + 1,
        day_spent = CASE WHEN c.day = v_day THEN c.day_spent ELSE 0 END + p_amount,
        month_spent = CASE WHEN c.month = v_month THEN c.month_spent ELSE 0 END + p_amount,
        day = v_day,
        month = v_month
    FROM jsonb_to_recordset(p_counters) AS x (id uuid, caps jsonb)
    WHERE c.id = x.id;
    SELECT jsonb_agg(jsonb_build_object('id', x.id, 'day', v_day, 'month', v_month)) INTO v_back
        FROM jsonb_to_recordset(p_counters) AS x (id uuid);
    RETURN v_back;
END $$;

CREATE OR REPLACE FUNCTION ledger_counters_settle(p_counters jsonb, p_back bigint) RETURNS void
LANGUAGE sql AS $$
    UPDATE ledger_counter c SET
        open = greatest(c.open - 1, 0),
        day_spent = CASE WHEN c.day = x.day THEN c.day_spent - p_back ELSE c.day_spent END,
        month_spent = CASE WHEN c.month = x.month THEN c.month_spent - p_back
            ELSE c.month_spent END
    FROM jsonb_to_recordset(p_counters) AS x (id uuid, day date, month date)
    WHERE c.id = x.id
$$;

CREATE OR REPLACE FUNCTION ledger_settle_many(
    p_holds uuid[], p_transactions uuid[], p_charges bigint[], p_to uuid[], p_scope text
) RETURNS TABLE (o_hold uuid, o_account uuid, o_charged bigint, o_available bigint)
LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    PERFORM 1 FROM ledger_account WHERE id IN (
        SELECT account_id FROM ledger_hold WHERE id = ANY (p_holds)
    ) ORDER BY id FOR NO KEY UPDATE;
    RETURN QUERY
    WITH asked AS (
        SELECT hold, transaction, charge, credit
        FROM unnest(p_holds, p_transactions, p_charges, p_to) AS r (hold, transaction, charge, credit)
    ), ended AS (
        UPDATE ledger_hold h SET
            state = 1, settled = least(r.charge, h.amount), transaction_id = r.transaction,
            resolved_at = v_now
        FROM asked r
        WHERE h.id = ANY (p_holds) AND h.id = r.hold AND h.state = 0 AND h.lots IS NULL AND h.counters IS NULL
            AND r.charge > 0 AND h.amount > 0
            AND NOT EXISTS (
                SELECT FROM ledger_account a WHERE a.id = h.account_id AND a.owed > 0)
        RETURNING h.id, h.account_id, h.amount, h.settled, r.transaction, r.credit
    ), walked AS (
        SELECT e.*, a.posted, a.version, a.held, a.floor,
            sum(e.settled) OVER w AS charged_so_far, row_number() OVER w AS step,
            sum(e.amount) OVER (PARTITION BY e.account_id) AS freed,
            sum(e.settled) OVER (PARTITION BY e.account_id) AS spent
        FROM ended e JOIN ledger_account a ON a.id = e.account_id
        WINDOW w AS (PARTITION BY e.account_id ORDER BY e.id ROWS UNBOUNDED PRECEDING)
    ), paid AS (
        UPDATE ledger_account a SET
            held = a.held - t.amount, posted = a.posted - t.settled, version = a.version + t.count
        FROM (
            SELECT account_id, sum(amount) AS amount, sum(settled) AS settled, count(*) AS count
            FROM ended GROUP BY account_id
        ) t WHERE a.id = t.account_id
    ), written AS (
        INSERT INTO ledger_transaction (
            id, kind, scope, ref, request_id, actor, occurred_at, created_at
        )
        SELECT transaction, 'charge', p_scope, id::text, id, '', v_now, v_now FROM ended
    ), booked AS (
        INSERT INTO ledger_entry (
            transaction_id, account_id, amount, balance_after, account_version, created_at
        )
        SELECT transaction, account_id, -settled, posted - charged_so_far, version + step, v_now
        FROM walked
        UNION ALL
        SELECT transaction, credit, settled, NULL, NULL, v_now FROM ended
    )
    SELECT w.id, w.account_id, w.settled,
        (w.posted - w.held - w.floor + w.freed - w.spent)::bigint
    FROM walked w;
END $$;

CREATE OR REPLACE FUNCTION ledger_give_back(
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

DROP FUNCTION ledger_give_back_parts(
    uuid, text, text, bytea, text, uuid, uuid, uuid[], bigint[], bigint, bigint, text);
DROP FUNCTION ledger_place_counted(
    uuid[], uuid[], bigint[], jsonb[], uuid[], text[], bigint[], text[], integer, integer, uuid);
DROP FUNCTION ledger_place_capped(
    uuid, uuid, bigint, uuid, text, bigint, jsonb, text, integer, integer, uuid);
