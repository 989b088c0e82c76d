-- What Shared mode needs of the ledger: spending counted by week and in all, many requests with a cap
-- at once, and refunds that several accounts pay.

-- Looks at each subject's counter. o_most: what spending caps still allow. o_refusal: the first
-- limit that says no, as {"subject", "kind", "limit", "retry_after"}. Locks the counters.
CREATE OR REPLACE FUNCTION ledger_counters_check(
    p_counters jsonb, p_least bigint, p_zone text, p_now timestamptz,
    OUT o_most bigint, OUT o_refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_item record;
    v_row ledger_counter;
    v_local timestamp := p_now AT TIME ZONE p_zone;
    v_day date := v_local::date;
    v_week date := date_trunc('week', v_local)::date;
    v_month date := date_trunc('month', v_local)::date;
    v_to_day integer := ceil(extract(epoch FROM (v_day + 1) - v_local));
    v_to_week integer := ceil(extract(epoch FROM (v_week + 7) - v_local));
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
        IF v_row.week IS DISTINCT FROM v_week THEN v_row.week_spent := 0; END IF;
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
                WHEN 'spend_week' THEN
                    o_most := least(o_most, v_limit - v_row.week_spent);
                    IF v_limit - v_row.week_spent < p_least OR v_row.week_spent >= v_limit THEN
                        v_retry := v_to_week;
                    END IF;
                WHEN 'spend_total' THEN
                    o_most := least(o_most, v_limit - v_row.total_spent);
                    IF v_limit - v_row.total_spent < p_least OR v_row.total_spent >= v_limit THEN
                        v_retry := 0;
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

-- Counts a request of p_amount on each subject; returns what to give back when it ends.
CREATE OR REPLACE FUNCTION ledger_counters_add(
    p_counters jsonb, p_amount bigint, p_zone text, p_now timestamptz
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_day date := (p_now AT TIME ZONE p_zone)::date;
    v_week date := date_trunc('week', p_now AT TIME ZONE p_zone)::date;
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
        week_spent = CASE WHEN c.week = v_week THEN c.week_spent ELSE 0 END + p_amount,
        total_spent = c.total_spent + p_amount,
        day = v_day,
        week = v_week,
        month = v_month
    FROM jsonb_to_recordset(p_counters) AS x (id uuid, caps jsonb)
    WHERE c.id = x.id;
    SELECT jsonb_agg(jsonb_build_object(
        'id', x.id, 'day', v_day, 'week', v_week, 'month', v_month)) INTO v_back
        FROM jsonb_to_recordset(p_counters) AS x (id uuid);
    RETURN v_back;
END $$;

-- Gives back what a hold counted, but for what was charged. A hold from before this version has no
-- week, and was not counted in all.
CREATE OR REPLACE FUNCTION ledger_counters_settle(p_counters jsonb, p_back bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger_counter c SET
        open = greatest(c.open - 1, 0),
        day_spent = CASE WHEN c.day = x.day THEN c.day_spent - p_back ELSE c.day_spent END,
        month_spent = CASE WHEN c.month = x.month THEN c.month_spent - p_back
            ELSE c.month_spent END,
        week_spent = CASE WHEN c.week = x.week THEN c.week_spent - p_back ELSE c.week_spent END,
        total_spent = CASE WHEN x.week IS NULL THEN c.total_spent ELSE c.total_spent - p_back END
    FROM jsonb_to_recordset(p_counters) AS x (id uuid, day date, week date, month date)
    WHERE c.id = x.id;
END $$;

-- As in 0011, and the holds may have a counter of their account's own.
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
        WHERE h.id = ANY (p_holds) AND h.id = r.hold AND h.state = 0 AND h.lots IS NULL
            AND (h.counters IS NULL OR h.counters @> '[{"own": true}]')
            AND r.charge > 0 AND h.amount > 0
            AND NOT EXISTS (
                SELECT FROM ledger_account a WHERE a.id = h.account_id AND a.owed > 0)
        RETURNING h.id, h.account_id, h.amount, h.settled, h.counters, r.transaction, r.credit
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
    ), counted AS (
        UPDATE ledger_counter c SET
            open = greatest(c.open - b.holds, 0),
            day_spent = c.day_spent - b.day_back,
            week_spent = c.week_spent - b.week_back,
            month_spent = c.month_spent - b.month_back,
            total_spent = c.total_spent - b.total_back
        FROM (
            SELECT k.id, count(*) AS holds,
                coalesce(sum(e.amount - e.settled) FILTER (WHERE k.day = x.day), 0) AS day_back,
                coalesce(sum(e.amount - e.settled) FILTER (WHERE k.week = x.week), 0) AS week_back,
                coalesce(sum(e.amount - e.settled) FILTER (WHERE k.month = x.month), 0)
                    AS month_back,
                coalesce(sum(e.amount - e.settled) FILTER (WHERE x.week IS NOT NULL), 0)
                    AS total_back
            FROM ended e
            CROSS JOIN jsonb_to_recordset(e.counters) AS x (id uuid, day date, week date, month date)
            JOIN ledger_counter k ON k.id = x.id
            GROUP BY k.id
        ) b WHERE c.id = b.id
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

-- Credits a wallet with (part of) a charge, from the accounts that had earned it: p_parts is what
-- each gives, as it is booked (below 0), and adds up to -p_amount. Lots get theirs back under their
-- own rules: what has expired meanwhile is booked as expired, here and now. An open receivable is
-- paid out of the rest.
CREATE FUNCTION ledger_give_back_parts(
    p_id uuid, p_scope text, p_ref text, p_fingerprint bytea, p_actor text, p_charge uuid,
    p_wallet uuid, p_from uuid[], p_parts bigint[], p_amount bigint, p_back bigint, p_reason text,
    OUT o_id uuid, OUT o_replayed boolean
) LANGUAGE plpgsql AS $$
DECLARE
    v_hold record;
BEGIN
    SELECT p.o_id, p.o_replayed INTO o_id, o_replayed FROM ledger_post(
        p_id, 'refund', p_scope, p_ref, p_fingerprint, NULL, p_actor, p_charge, NULL,
        p_wallet || p_from, p_amount || p_parts, p_reason, NULL) p;
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

-- The same from one account.
CREATE OR REPLACE FUNCTION ledger_give_back(
    p_id uuid, p_scope text, p_ref text, p_fingerprint bytea, p_actor text, p_charge uuid,
    p_wallet uuid, p_from uuid, p_amount bigint, p_back bigint, p_reason text,
    OUT o_id uuid, OUT o_replayed boolean
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT p.o_id, p.o_replayed INTO o_id, o_replayed FROM ledger_give_back_parts(
        p_id, p_scope, p_ref, p_fingerprint, p_actor, p_charge, p_wallet, ARRAY[p_from],
        ARRAY[-p_amount], p_amount, p_back, p_reason) p;
END $$;

-- As ledger_place_many, for requests that each count on one subject with one spending cap: all or
-- none. A counter is its account's own (`own` in the hold): nobody else counts on it, so the account's
-- lock is also its lock. p_kinds: as in ledger_counters_check, of spending only.
CREATE FUNCTION ledger_place_counted(
    p_holds uuid[], p_accounts uuid[], p_wants bigint[], p_facts jsonb[], p_counters uuid[],
    p_kinds text[], p_caps bigint[], p_zones text[], p_lease_s integer, p_total_s integer,
    p_process uuid
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
BEGIN
    PERFORM 1 FROM ledger_account WHERE id = ANY (p_accounts) ORDER BY id FOR NO KEY UPDATE;
    v_now := clock_timestamp();
    IF EXISTS (
        SELECT FROM (
            SELECT account, sum(want) AS want FROM unnest(p_accounts, p_wants) AS r (account, want)
            GROUP BY account
        ) r JOIN ledger_account a ON a.id = r.account
        WHERE a.has_lots OR a.owed > 0 OR a.posted - a.held - a.floor < r.want
    ) OR EXISTS (SELECT FROM ledger_hold WHERE id = ANY (p_holds)) OR EXISTS (
        SELECT FROM (
            SELECT counter, kind, cap, v_now AT TIME ZONE zone AS today, sum(want) AS want
            FROM unnest(p_counters, p_kinds, p_caps, p_zones, p_wants)
                AS r (counter, kind, cap, zone, want)
            GROUP BY counter, kind, cap, zone
        ) r LEFT JOIN ledger_counter c ON c.id = r.counter
        WHERE c.id IS NULL OR r.cap < r.want + CASE r.kind
            WHEN 'spend_day' THEN CASE WHEN c.day = r.today::date THEN c.day_spent ELSE 0 END
            WHEN 'spend_week' THEN
                CASE WHEN c.week = date_trunc('week', r.today)::date THEN c.week_spent ELSE 0 END
            WHEN 'spend_month' THEN
                CASE WHEN c.month = date_trunc('month', r.today)::date THEN c.month_spent ELSE 0 END
            WHEN 'spend_total' THEN c.total_spent
            ELSE r.cap END
    ) THEN
        RETURN false;
    END IF;
    INSERT INTO ledger_hold (
        id, account_id, amount, state, process, facts, counters, lease_until, expires_at, created_at
    )
    SELECT hold, account, want, 0, p_process, facts,
        jsonb_build_array(jsonb_build_object('id', counter, 'own', true, 'day', today::date,
            'week', date_trunc('week', today)::date, 'month', date_trunc('month', today)::date)),
        v_now + make_interval(secs => p_lease_s), v_now + make_interval(secs => p_total_s), v_now
    FROM unnest(p_holds, p_accounts, p_wants, p_facts, p_counters, p_zones)
        AS r (hold, account, want, facts, counter, zone),
        LATERAL (SELECT v_now AT TIME ZONE zone AS today) t;
    UPDATE ledger_account a SET held = held + r.want FROM (
        SELECT account, sum(want) AS want FROM unnest(p_accounts, p_wants) AS r (account, want)
        GROUP BY account
    ) r WHERE a.id = r.account;
    UPDATE ledger_counter c SET
        open = c.open + r.holds,
        day_requests = CASE WHEN c.day = r.day THEN c.day_requests ELSE 0 END + r.holds,
        day_spent = CASE WHEN c.day = r.day THEN c.day_spent ELSE 0 END + r.want,
        week_spent = CASE WHEN c.week = r.week THEN c.week_spent ELSE 0 END + r.want,
        month_spent = CASE WHEN c.month = r.month THEN c.month_spent ELSE 0 END + r.want,
        total_spent = c.total_spent + r.want,
        day = r.day,
        week = r.week,
        month = r.month
    FROM (
        SELECT counter, count(*) AS holds, sum(want) AS want, max(t.today)::date AS day,
            date_trunc('week', max(t.today))::date AS week,
            date_trunc('month', max(t.today))::date AS month
        FROM unnest(p_counters, p_zones, p_wants) AS r (counter, zone, want),
            LATERAL (SELECT v_now AT TIME ZONE zone AS today) t
        GROUP BY counter
    ) r WHERE c.id = r.counter;
    RETURN true;
END $$;

-- As ledger_place, for a request with one such cap, where wallet and cap have all that it wants: then
-- what is free after it. Null, and nothing is written, in any other case.
CREATE FUNCTION ledger_place_capped(
    p_hold uuid, p_account uuid, p_want bigint, p_counter uuid, p_kind text, p_cap bigint,
    p_facts jsonb, p_zone text, p_lease_s integer, p_total_s integer, p_process uuid
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_account record;
    v_row ledger_counter;
    v_now timestamptz;
    v_day date;
    v_week date;
    v_month date;
BEGIN
    SELECT a.posted - a.held - a.floor AS available, a.owed, a.has_lots INTO v_account
        FROM ledger_account a WHERE a.id = p_account FOR NO KEY UPDATE;
    SELECT * INTO v_row FROM ledger_counter WHERE id = p_counter;
    v_now := clock_timestamp();
    v_day := (v_now AT TIME ZONE p_zone)::date;
    v_week := v_day - extract(isodow FROM v_day)::integer + 1;
    v_month := v_day - extract(day FROM v_day)::integer + 1;
    IF v_row.day IS DISTINCT FROM v_day THEN
        v_row.day_requests := 0;
        v_row.day_spent := 0;
    END IF;
    IF v_row.week IS DISTINCT FROM v_week THEN v_row.week_spent := 0; END IF;
    IF v_row.month IS DISTINCT FROM v_month THEN v_row.month_spent := 0; END IF;
    IF (NOT v_account.has_lots AND v_account.owed = 0 AND p_want <= v_account.available
        AND p_want <= p_cap - CASE p_kind
            WHEN 'spend_day' THEN v_row.day_spent
            WHEN 'spend_week' THEN v_row.week_spent
            WHEN 'spend_month' THEN v_row.month_spent
            WHEN 'spend_total' THEN v_row.total_spent END) IS NOT TRUE
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO ledger_hold (
        id, account_id, amount, state, process, facts, counters, lease_until, expires_at, created_at
    ) VALUES (
        p_hold, p_account, p_want, 0, p_process, p_facts, jsonb_build_array(jsonb_build_object(
            'id', p_counter, 'own', true, 'day', v_day, 'week', v_week, 'month', v_month)),
        v_now + make_interval(secs => p_lease_s), v_now + make_interval(secs => p_total_s), v_now
    ) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN RETURN NULL; END IF;
    UPDATE ledger_account SET held = held + p_want WHERE id = p_account;
    UPDATE ledger_counter SET
        open = open + 1, day_requests = v_row.day_requests + 1, day_spent = v_row.day_spent + p_want,
        week_spent = v_row.week_spent + p_want, month_spent = v_row.month_spent + p_want,
        total_spent = total_spent + p_want, day = v_day, week = v_week, month = v_month
        WHERE id = p_counter;
    RETURN v_account.available - p_want;
END $$;
