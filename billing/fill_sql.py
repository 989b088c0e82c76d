"""The statements of `billing.fill`: history is drawn into a temporary table, then booked.

`piece` has a row for each request or deposit, in the order of time. kind 0: a deposit, 1: a charge,
2: a request that failed and cost nothing. Amounts in nanos, as the wallet sees them.
"""

from typing import Final

USERS: Final = """
    WITH made AS (
        INSERT INTO paywalls_enduser (
            id, paywall_id, livemode, external_id, wallet_id, trial_requests_left, created_at
        )
        SELECT ledger_uuid7(), %(paywall)s, %(live)s, %(prefix)s || lpad(no::text, 6, '0'),
            ledger_uuid7(), 0, %(start)s
        FROM generate_series(0, %(users)s - 1) AS no
        ON CONFLICT DO NOTHING RETURNING id, wallet_id
    )
    INSERT INTO ledger_account (
        id, kind, owner, currency, livemode, posted, held, owed, floor, version, has_lots,
        created_at
    )
    SELECT wallet_id, 'wallet', id, %(currency)s, %(live)s, 0, 0, 0, 0, 0, false, %(start)s
    FROM made
"""

TABLES: Final = (
    # Nobody waits for what is written here; a crash loses the last pieces as a whole.
    "SET synchronous_commit = off; SET timezone = 'UTC'; SET work_mem = '64MB'",
    # A UUIDv7 of a moment: its milliseconds, the version, the random bits of a version 4.
    """
    CREATE FUNCTION pg_temp.id_of(at timestamptz) RETURNS uuid LANGUAGE sql AS $$
        SELECT (lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0') || '7'
            || substr(gen_random_uuid()::text, 16))::uuid
    $$
    """,
    "CREATE TEMP TABLE filled (no integer PRIMARY KEY, user_id uuid, wallet_id uuid)",
    """
    CREATE TEMP TABLE piece (
        n bigint, kind smallint, user_id uuid, wallet_id uuid, at timestamptz, took_ms integer,
        request_id uuid, transaction_id uuid, model integer, prompt integer, completion integer,
        amount bigint, balance bigint, version bigint
    ) ON COMMIT DELETE ROWS
    """,
    """
    INSERT INTO filled
    SELECT right(external_id, 6)::integer, id, wallet_id FROM paywalls_enduser
    WHERE paywall_id = %(paywall)s AND livemode = %(live)s AND external_id LIKE %(prefix)s || '%%'
        AND external_id < %(prefix)s || lpad(%(users)s::text, 6, '0')
    """,
    "ANALYZE filled",
)

LOCK: Final = """
    SELECT count(*) FROM (
        SELECT FROM ledger_account
        WHERE id IN (SELECT wallet_id FROM filled WHERE no %% %(lanes)s = %(lane)s)
        ORDER BY id FOR NO KEY UPDATE
    ) AS locked
"""

# A few users and models have most of the traffic, as everywhere. Every hundredth movement of a
# wallet is a deposit that pays for the ones until the next.
DRAW: Final = """
    INSERT INTO piece
    WITH drawn AS MATERIALIZED (
        SELECT n, %(start)s + n * %(step)s AS at, n %% 50 = 49 AS has_failed,
            -- First every user of the lane once, so that nobody is without a deposit.
            %(lane)s + %(lanes)s * CASE
                WHEN %(opens)s AND n - %(first)s - n / 50 + %(first)s / 50 < %(users)s / %(lanes)s
                    THEN n - %(first)s - n / 50 + %(first)s / 50
                ELSE floor(%(users)s / %(lanes)s * power(random(), 3)) END::integer AS no,
            300 + floor(4000 * random())::integer AS took_ms,
            1 + floor(%(models)s * power(random(), 2))::integer AS model,
            100 + floor(1900 * random())::integer AS prompt,
            20 + floor(480 * random())::integer AS completion
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    ), walked AS (
        SELECT d.*, u.user_id, u.wallet_id, a.posted, a.version
            + count(*) FILTER (WHERE NOT has_failed) OVER (PARTITION BY d.no ORDER BY n) AS step
        FROM drawn d JOIN filled u ON u.no = d.no JOIN ledger_account a ON a.id = u.wallet_id
    ), priced AS (
        SELECT *, CASE WHEN has_failed THEN 2 WHEN step %% 100 = 1 THEN 0 ELSE 1 END AS kind,
            prompt * (%(prompts)s::bigint[])[model]
                + completion * (%(completions)s::bigint[])[model] AS price
        FROM walked
    ), moved AS (
        SELECT *, CASE kind WHEN 0 THEN %(deposit)s WHEN 1 THEN -price ELSE 0 END AS amount
        FROM priced
    )
    SELECT n, kind, user_id, wallet_id, at, took_ms,
        pg_temp.id_of(at - make_interval(secs => took_ms / 1000.0)), pg_temp.id_of(at), model,
        prompt, completion, amount,
        posted + sum(amount) OVER (PARTITION BY no ORDER BY n), step
    FROM moved
"""

BOOK: Final = (
    """
    INSERT INTO ledger_transaction (
        id, kind, scope, ref, request_id, actor, occurred_at, created_at
    )
    SELECT transaction_id, 'charge', 'charge', request_id::text, request_id, '', at, at
    FROM piece WHERE kind = 1
    UNION ALL
    SELECT transaction_id, 'deposit', %(scope)s, transaction_id::text, NULL, %(actor)s, at, at
    FROM piece WHERE kind = 0
    """,
    """
    INSERT INTO ledger_entry (
        transaction_id, account_id, amount, balance_after, account_version, created_at
    )
    SELECT p.transaction_id, leg.account, leg.amount, leg.balance, leg.version, p.at
    FROM piece p CROSS JOIN LATERAL (VALUES
        (0, p.wallet_id, p.amount, p.balance, p.version),
        (1, CASE p.kind WHEN 0 THEN %(external)s::uuid ELSE %(revenue)s END, -p.amount, NULL, NULL)
    ) AS leg (side, account, amount, balance, version)
    WHERE p.kind < 2 ORDER BY p.n, leg.side
    """,
    """
    UPDATE ledger_account a SET posted = posted + moved.amount, version = version + moved.count
    FROM (
        SELECT wallet_id, sum(amount) AS amount, count(*) AS count FROM piece
        WHERE kind < 2 GROUP BY wallet_id
    ) AS moved WHERE a.id = moved.wallet_id
    """,
    """
    INSERT INTO ledger_hold (
        id, account_id, amount, state, settled, transaction_id, facts, lease_until, expires_at,
        created_at, resolved_at
    )
    SELECT request_id, wallet_id, %(hold)s, kind, CASE kind WHEN 1 THEN -amount END,
        CASE kind WHEN 1 THEN transaction_id END,
        jsonb_build_object('model', (%(names)s::text[])[model], 'paywall', %(paywall)s),
        at + interval '30 s', at + interval '16 min',
        at - make_interval(secs => took_ms / 1000.0), at
    FROM piece WHERE kind > 0
    """,
    """
    INSERT INTO billing_charge (
        transaction_id, request_id, paywall_id, user_id, rate_id, model, usage, usage_source,
        policy, charged, provider_cost, created_at
    )
    SELECT transaction_id, request_id, %(paywall)s, user_id, (%(rates)s::uuid[])[model],
        (%(names)s::text[])[model],
        jsonb_build_object('prompt', prompt, 'completion', completion), 'provider',
        'completed:usage', -amount, -amount / 2, at
    FROM piece WHERE kind = 1
    """,
    """
    INSERT INTO billing_request (
        id, paywall_id, livemode, user_id, status, policy, model, rate_id, feature, run, streamed,
        http_status, error_code, usage, usage_source, charged, written_off, provider_cost,
        transaction_id, first_byte_ms, duration_ms, attempts, created_at, finished_at
    )
    SELECT request_id, %(paywall)s, %(live)s, user_id,
        CASE kind WHEN 1 THEN 'completed' ELSE 'failed' END,
        CASE kind WHEN 1 THEN 'completed:usage' ELSE 'not_dispatched' END,
        (%(names)s::text[])[model], (%(rates)s::uuid[])[model], '', '', true,
        CASE kind WHEN 1 THEN 200 ELSE 502 END,
        CASE kind WHEN 1 THEN '' ELSE 'provider_error' END,
        CASE kind WHEN 1 THEN jsonb_build_object('prompt', prompt, 'completion', completion)
            ELSE '{}' END,
        CASE kind WHEN 1 THEN 'provider' ELSE 'none' END, -amount, 0, -amount / 2,
        CASE kind WHEN 1 THEN transaction_id END, took_ms / 4, took_ms, '[]',
        at - make_interval(secs => took_ms / 1000.0), at
    FROM piece WHERE kind > 0
    """,
    """
    INSERT INTO billing_daily AS t (
        user_id, day, model, paywall_id, livemode, requests, failures, prompt_tokens,
        completion_tokens, charged, provider_cost
    )
    SELECT user_id, (at AT TIME ZONE %(zone)s)::date, (%(names)s::text[])[model], %(paywall)s,
        %(live)s, count(*), count(*) FILTER (WHERE kind = 2),
        coalesce(sum(prompt) FILTER (WHERE kind = 1), 0),
        coalesce(sum(completion) FILTER (WHERE kind = 1), 0), -sum(amount), sum(-amount / 2)
    FROM piece WHERE kind > 0 GROUP BY 1, 2, 3 ORDER BY 2, 1, 3
    ON CONFLICT (user_id, day, model) DO UPDATE SET
        requests = t.requests + excluded.requests,
        failures = t.failures + excluded.failures,
        prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = t.completion_tokens + excluded.completion_tokens,
        charged = t.charged + excluded.charged,
        provider_cost = t.provider_cost + excluded.provider_cost
    """,
)

MONTH: Final = """
    CREATE TABLE {name} PARTITION OF billing_request
    FOR VALUES FROM ({lower}) TO ({upper})
"""

TIDY: Final = (
    "SELECT ledger_roll_up(0)",
    "SELECT billing_roll_up()",
    "SELECT billing_rank(20)",
    "VACUUM (ANALYZE) ledger_transaction, ledger_entry, ledger_hold, ledger_account,"
    " billing_charge, billing_daily, billing_request, paywalls_enduser",
)
"""What the worker and the database would do by themselves, in time."""
