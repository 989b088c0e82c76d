-- Holds: place, settle, renew. The request path; every function locks accounts in id order, then
-- counters in id order, so that no two of them can wait for each other.

-- Looks at each subject's counter. o_most: what spending caps still allow. o_refusal: the first
-- limit that says no, as {"subject", "kind", "limit", "retry_after"}. Locks the counters.
CREATE FUNCTION ledger_counters_check(
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

-- Counts a request of p_amount on each subject; returns what to give back when it ends.
CREATE FUNCTION ledger_counters_add(
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

-- A counter for each subject, made in id order before any is locked.
CREATE FUNCTION ledger_counters_ensure(p_ids uuid[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO ledger_counter (id, open, day_requests, day_spent, month_spent)
    SELECT DISTINCT t.id, 0, 0, 0, 0 FROM unnest(p_ids) AS t (id)
    WHERE NOT EXISTS (SELECT FROM ledger_counter c WHERE c.id = t.id)
    ORDER BY t.id
    ON CONFLICT DO NOTHING
$$;

-- Sets aside p_amount of an account's lots, in spending order; returns [[lot, nanos], …] or null.
CREATE FUNCTION ledger_lots_hold(p_account uuid, p_amount bigint) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    v_lot record;
    v_left bigint := p_amount;
    v_part bigint;
    v_lots jsonb;
BEGIN
    FOR v_lot IN
        SELECT id, remaining - held AS free FROM ledger_lot
        WHERE account_id = p_account AND remaining > held
        ORDER BY priority, expires_at NULLS LAST, id
    LOOP
        EXIT WHEN v_left <= 0;
        v_part := least(v_left, v_lot.free);
        UPDATE ledger_lot SET held = held + v_part WHERE id = v_lot.id;
        v_lots := coalesce(v_lots, '[]') || jsonb_build_array(
            jsonb_build_array(v_lot.id, v_part));
        v_left := v_left - v_part;
    END LOOP;
    RETURN v_lots;
END $$;

-- Sets money aside: between p_least and p_want, as much as the wallet and its caps allow.
-- o_outcome: allowed, repeated (the hold exists: an ambiguous commit is being retried), debt,
-- limited (with o_refusal) or topup_required. p_counters: [{"id", "subject", "caps": {kind: n}}].
CREATE FUNCTION ledger_place(
    p_hold uuid, p_account uuid, p_want bigint, p_least bigint, p_lease_s integer,
    p_total_s integer, p_process uuid, p_counters jsonb, p_facts jsonb, p_zone text,
    OUT o_outcome text, OUT o_granted bigint, OUT o_available bigint, OUT o_refusal jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    v_account record;
    v_now timestamptz;
    v_most bigint;
BEGIN
    SELECT posted - held - floor AS available, owed, has_lots, livemode INTO v_account
        FROM ledger_account WHERE id = p_account FOR NO KEY UPDATE;
    v_now := ledger_now(v_account.livemode);
    o_available := v_account.available;
    IF v_account.has_lots THEN
        o_available := o_available - ledger_lots_expire(p_account);
    END IF;
    o_granted := least(p_want, o_available);
    IF p_counters IS NOT NULL THEN
        SELECT c.o_most, c.o_refusal INTO v_most, o_refusal
            FROM ledger_counters_check(p_counters, p_least, p_zone, v_now) c;
        o_granted := least(o_granted, v_most);
    END IF;
    o_outcome := CASE
        WHEN o_refusal IS NOT NULL THEN 'limited'
        WHEN v_account.owed > 0 THEN 'debt'
        WHEN o_granted < p_least OR o_granted < 0 THEN 'topup_required'
        ELSE 'allowed'
    END;
    IF o_outcome <> 'allowed' THEN
        SELECT amount INTO o_granted FROM ledger_hold WHERE id = p_hold;
        IF FOUND THEN o_outcome := 'repeated'; END IF;
        RETURN;
    END IF;
    INSERT INTO ledger_hold (
        id, account_id, amount, state, process, facts, lease_until, expires_at, created_at
    ) VALUES (
        p_hold, p_account, o_granted, 0, p_process, p_facts,
        v_now + make_interval(secs => p_lease_s), v_now + make_interval(secs => p_total_s), v_now
    ) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        SELECT amount INTO o_granted FROM ledger_hold WHERE id = p_hold;
        o_outcome := 'repeated';
        RETURN;
    END IF;
    UPDATE ledger_account SET held = held + o_granted WHERE id = p_account;
    o_available := o_available - o_granted;
    IF p_counters IS NOT NULL OR v_account.has_lots THEN
        UPDATE ledger_hold SET
            lots = ledger_lots_hold(p_account, o_granted),
            counters = ledger_counters_add(p_counters, o_granted, p_zone, v_now)
        WHERE id = p_hold;
    END IF;
END $$;

-- The same for many plain requests at once (no caps, no lots, no debts): all or none. Returns false
-- and writes nothing when one of them is not plain or its wallet cannot carry the whole batch.
CREATE FUNCTION ledger_place_many(
    p_holds uuid[], p_accounts uuid[], p_wants bigint[], p_facts jsonb[], p_lease_s integer,
    p_total_s integer, p_process uuid
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz;
BEGIN
    PERFORM 1 FROM ledger_account WHERE id = ANY (p_accounts) ORDER BY id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM (
            SELECT account, sum(want) AS want FROM unnest(p_accounts, p_wants) AS r (account, want)
            GROUP BY account
        ) r JOIN ledger_account a ON a.id = r.account
        WHERE a.has_lots OR a.owed > 0 OR a.posted - a.held - a.floor < r.want
    ) OR EXISTS (SELECT FROM ledger_hold WHERE id = ANY (p_holds)) THEN
        RETURN false;
    END IF;
    v_now := clock_timestamp();
    INSERT INTO ledger_hold (
        id, account_id, amount, state, process, facts, lease_until, expires_at, created_at
    )
    SELECT hold, account, want, 0, p_process, facts, v_now + make_interval(secs => p_lease_s),
        v_now + make_interval(secs => p_total_s), v_now
    FROM unnest(p_holds, p_accounts, p_wants, p_facts) AS r (hold, account, want, facts);
    UPDATE ledger_account a SET held = held + r.want FROM (
        SELECT account, sum(want) AS want FROM unnest(p_accounts, p_wants) AS r (account, want)
        GROUP BY account
    ) r WHERE a.id = r.account;
    RETURN true;
END $$;

-- Gives back what a hold counted, but for what was charged.
CREATE FUNCTION ledger_counters_settle(p_counters jsonb, p_back bigint) RETURNS void
LANGUAGE sql AS $$
    UPDATE ledger_counter c SET
        open = greatest(c.open - 1, 0),
        day_spent = CASE WHEN c.day = x.day THEN c.day_spent - p_back ELSE c.day_spent END,
        month_spent = CASE WHEN c.month = x.month THEN c.month_spent - p_back
            ELSE c.month_spent END
    FROM jsonb_to_recordset(p_counters) AS x (id uuid, day date, month date)
    WHERE c.id = x.id
$$;

-- Gives back what a hold set aside of lots, but for what was charged, in the order it was taken.
CREATE FUNCTION ledger_lots_settle(p_lots jsonb, p_charged bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_part record;
    v_left bigint := p_charged;
BEGIN
    FOR v_part IN
        SELECT (value ->> 0)::uuid AS id, (value ->> 1)::bigint AS nanos
        FROM jsonb_array_elements(p_lots) WITH ORDINALITY ORDER BY ordinality
    LOOP
        UPDATE ledger_lot SET held = held - v_part.nanos,
            remaining = remaining - least(v_part.nanos, v_left) WHERE id = v_part.id;
        v_left := v_left - least(v_part.nanos, v_left);
    END LOOP;
END $$;

-- Ends a hold: charges at most what it set aside, credits p_to, frees the rest; a charge of 0 only
-- releases. o_state: settled; released; repeated (this very call was booked before: an ambiguous
-- commit is being retried); late (somebody else ended the hold: nothing is booked).
CREATE FUNCTION ledger_settle(
    p_hold uuid, p_transaction uuid, p_charge bigint, p_to uuid, p_scope text, p_ref text,
    p_fingerprint bytea, OUT o_state text, OUT o_charged bigint, OUT o_available bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_account record;
    v_hold record;
    v_now timestamptz := clock_timestamp();
BEGIN
    SELECT a.id, a.posted, a.posted - a.held - a.floor AS available, a.version, a.owed
        INTO v_account FROM ledger_account a
        WHERE a.id = (SELECT account_id FROM ledger_hold WHERE id = p_hold) FOR NO KEY UPDATE;
    UPDATE ledger_hold SET
        state = CASE WHEN p_charge > 0 AND amount > 0 THEN 1 ELSE 2 END,
        settled = nullif(least(p_charge, amount), 0),
        transaction_id = CASE WHEN p_charge > 0 AND amount > 0 THEN p_transaction END,
        resolved_at = v_now
    WHERE id = p_hold AND state = 0
    RETURNING amount, coalesce(settled, 0) AS settled, lots, counters INTO v_hold;
    IF NOT FOUND THEN
        SELECT CASE WHEN transaction_id = p_transaction OR (state = 2 AND p_charge = 0)
            THEN 'repeated' ELSE 'late' END, coalesce(settled, 0), v_account.available
            INTO o_state, o_charged, o_available FROM ledger_hold WHERE id = p_hold;
        RETURN;
    END IF;
    o_charged := v_hold.settled;
    o_state := CASE WHEN o_charged > 0 THEN 'settled' ELSE 'released' END;
    o_available := v_account.available + v_hold.amount - o_charged;
    UPDATE ledger_account SET
        held = held - v_hold.amount,
        posted = posted - o_charged,
        version = version + (o_charged > 0)::integer
    WHERE id = v_account.id;
    IF o_charged > 0 THEN
        INSERT INTO ledger_transaction (
            id, kind, scope, ref, fingerprint, request_id, actor, occurred_at, created_at
        ) VALUES (
            p_transaction, 'charge', p_scope, p_ref, p_fingerprint, p_hold, '', v_now, v_now);
        INSERT INTO ledger_entry (
            transaction_id, account_id, amount, balance_after, account_version, created_at
        ) VALUES
            (p_transaction, v_account.id, -o_charged, v_account.posted - o_charged,
                v_account.version + 1, v_now),
            (p_transaction, p_to, o_charged, NULL, NULL, v_now);
    END IF;
    IF v_hold.lots IS NOT NULL THEN
        PERFORM ledger_lots_settle(v_hold.lots, o_charged);
    END IF;
    IF v_hold.counters IS NOT NULL THEN
        PERFORM 1 FROM ledger_counter WHERE id IN (
            SELECT (value ->> 'id')::uuid FROM jsonb_array_elements(v_hold.counters)
        ) ORDER BY id FOR NO KEY UPDATE;
        PERFORM ledger_counters_settle(v_hold.counters, v_hold.amount - o_charged);
    END IF;
    IF v_account.owed > 0 THEN
        o_available := o_available - ledger_collect(v_account.id);
    END IF;
END $$;

-- The same for many plain holds at once, each charged more than nothing. Returns those it ended;
-- the others (not plain, or ended before) are the caller's, by ledger_settle.
CREATE FUNCTION ledger_settle_many(
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
        WHERE h.id = r.hold AND h.state = 0 AND h.lots IS NULL AND h.counters IS NULL
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

-- Locks the accounts and then the counters of many holds, for who ends them one after the other.
CREATE FUNCTION ledger_holds_lock(p_holds uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM ledger_account WHERE id IN (
        SELECT account_id FROM ledger_hold WHERE id = ANY (p_holds)
    ) ORDER BY id FOR NO KEY UPDATE;
    PERFORM 1 FROM ledger_counter WHERE id IN (
        SELECT (c.value ->> 'id')::uuid
        FROM ledger_hold h, jsonb_array_elements(h.counters) AS c WHERE h.id = ANY (p_holds)
    ) ORDER BY id FOR NO KEY UPDATE;
END $$;

-- Renews the lease of a process's open holds, in one statement, and keeps their progress:
-- p_progress is {hold id: object}. Returns the holds that it renewed. One that is being ended at
-- this moment is passed over: waiting for it, with others locked, could be waiting for oneself.
CREATE FUNCTION ledger_renew(p_process uuid, p_holds uuid[], p_progress jsonb, p_lease_s integer)
RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE ledger_hold SET
        lease_until = least(clock_timestamp() + make_interval(secs => p_lease_s), expires_at),
        progress = coalesce(p_progress -> id::text, progress)
    WHERE id IN (
        SELECT id FROM ledger_hold
        WHERE id = ANY (p_holds) AND state = 0 AND process = p_process
        FOR NO KEY UPDATE SKIP LOCKED
    )
    RETURNING id
$$;
