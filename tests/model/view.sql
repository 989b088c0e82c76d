-- One paywall's money, in three columns: as `Books.view` tells it; a digest of all its rows; its lots.
-- Left out is what moves nothing: leases and checkpoints, counters that have not counted yet, and the
-- note that an account has lots.
WITH users AS MATERIALIZED (
    SELECT * FROM paywalls_enduser WHERE paywall_id = %(paywall)s
), accounts AS MATERIALIZED (
    SELECT a.* FROM ledger_account a
    WHERE a.owner = %(paywall)s OR a.owner IN (SELECT id FROM users)
), entries AS MATERIALIZED (
    SELECT e.* FROM ledger_entry e WHERE e.account_id IN (SELECT id FROM accounts)
), transactions AS MATERIALIZED (
    SELECT t.* FROM ledger_transaction t WHERE t.id IN (SELECT transaction_id FROM entries)
), lots AS MATERIALIZED (
    SELECT l.* FROM ledger_lot l WHERE l.account_id IN (SELECT wallet_id FROM users)
), holds AS MATERIALIZED (
    SELECT h.* FROM ledger_hold h WHERE h.account_id IN (SELECT wallet_id FROM users)
), tallies AS MATERIALIZED (
    SELECT c.*, coalesce('user ' || u.external_id,
        CASE c.id WHEN %(paywall)s THEN 'paywall' ELSE 'key' END) AS subject
    FROM ledger_counter c LEFT JOIN users u ON u.id = c.id
    WHERE (u.id IS NOT NULL OR c.id IN (%(paywall)s, %(key)s)) AND c.day IS NOT NULL
), late AS MATERIALIZED (
    SELECT * FROM billing_writeoff WHERE paywall_id = %(paywall)s
), chats AS MATERIALIZED (
    SELECT * FROM billing_idempotency WHERE paywall_id = %(paywall)s
)
SELECT jsonb_build_object(
    'wallets', (SELECT jsonb_object_agg(u.external_id, jsonb_build_object(
        'posted', a.posted, 'held', a.held, 'owed', a.owed, 'floor', a.floor,
        'trials_left', u.trial_requests_left,
        'lots', (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, amount, remaining, held)
            ORDER BY priority, expires_at NULLS LAST, id), '[]')
            FROM lots WHERE account_id = a.id AND remaining > 0)))
        FROM users u JOIN accounts a ON a.id = u.wallet_id),
    'holds', (SELECT jsonb_object_agg(id, jsonb_build_array(
        (ARRAY['open', 'settled', 'released'])[state + 1], amount, coalesce(settled, 0)))
        FROM holds WHERE facts IS NOT NULL),
    'tallies', (SELECT jsonb_object_agg(subject,
        jsonb_build_array(open, day_requests, day_spent, month_spent)) FROM tallies),
    'accounts', (SELECT jsonb_object_agg(kind, nanos) FROM (
        SELECT kind, sum(ledger_balance(id)) AS nanos FROM accounts WHERE floor IS NULL
        GROUP BY kind) s WHERE nanos <> 0),
    'kinds', (SELECT jsonb_object_agg(kind, count) FROM (
        SELECT kind, count(*) FROM transactions GROUP BY kind) s),
    'chats', (SELECT count(*) FROM chats),
    'late', (SELECT coalesce(sum(nanos), 0) FROM late)
)::text, (
    SELECT md5(string_agg(row, E'\n' ORDER BY row)) FROM (
        SELECT users::text AS row FROM users
        UNION ALL SELECT (id, kind, currency, livemode, posted, held, owed, floor, version)::text
            FROM accounts
        UNION ALL SELECT entries::text FROM entries
        UNION ALL SELECT transactions::text FROM transactions
        UNION ALL SELECT lots::text FROM lots
        UNION ALL SELECT (id, account_id, amount, state, settled, transaction_id, lots, counters,
            resolved_at)::text FROM holds
        UNION ALL SELECT tallies::text FROM tallies
        UNION ALL SELECT late::text FROM late
        UNION ALL SELECT chats::text FROM chats
        UNION ALL SELECT d::text FROM billing_daily d WHERE user_id IN (SELECT id FROM users)
        UNION ALL SELECT r::text FROM billing_request r WHERE id IN (SELECT id FROM holds)
        UNION ALL SELECT n::text FROM ledger_note n
            WHERE transaction_id IN (SELECT id FROM transactions)
        UNION ALL SELECT c::text FROM billing_charge c
            WHERE transaction_id IN (SELECT id FROM transactions)
    ) rows
), (
    SELECT jsonb_agg(jsonb_build_array(l.id, u.external_id, l.transaction_id, l.expires_at))
    FROM lots l JOIN users u ON u.wallet_id = l.account_id
)::text
