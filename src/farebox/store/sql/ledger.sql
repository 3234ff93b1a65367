The statements of the group-commit ledger writer. One locking read, one writing statement built from
the parts below (only those a batch needs), one commit.

-- name: lock_accounts_and_keys
SELECT locked.*, unix_us() AS clock_us
FROM (
    SELECT a.id AS account_id, a.tier, a.suspended, a.settings_version AS account_settings_version,
           a.available, a.held, a.refunding, a.owed, a.unburned, a.version, a.next_expiry_us,
           a.running AS account_running, a.windows AS account_windows, a.budgets AS account_budgets, a.now_us,
           k.id AS key_id, k.settings AS key_settings, k.settings_version AS key_settings_version,
           k.cap, k.budgets AS key_budgets, k.running AS key_running, k.windows AS key_windows, k.spent
    FROM unnest($1::text[], $2::text[]) AS wanted (account_id, key_id)
    JOIN accounts a ON a.id = wanted.account_id
    JOIN api_keys k ON k.account_id = wanted.account_id AND k.id = wanted.key_id
    ORDER BY a.id, k.id
    FOR NO KEY UPDATE OF a, k
) locked

-- name: lock_account
SELECT locked.*, unix_us() AS clock_us
FROM (
    SELECT a.id AS account_id, a.tier, a.suspended, a.settings_version AS account_settings_version,
           a.available, a.held, a.refunding, a.owed, a.unburned, a.version, a.next_expiry_us,
           a.running AS account_running, a.windows AS account_windows, a.budgets AS account_budgets, a.now_us
    FROM accounts a
    WHERE a.id = $1
    FOR NO KEY UPDATE
) locked

-- name: account_lots
SELECT id, category, amount, created_us, priority, expires_us, refundable_until_us, payment_id, cost_basis,
       burned, expired, refunding, refunded, charged_back, disputed
FROM lots
WHERE account_id = $1

-- name: account_holds
SELECT account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, lapsing, revision, boot, request
FROM holds
WHERE account_id = $1
ORDER BY opened_us, id

-- name: hold
SELECT account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, lapsing, revision, boot, request
FROM holds
WHERE account_id = $1 AND id = $2

-- name: part_accounts
accounts_written AS (
    UPDATE accounts a
    SET available = u.available, held = u.held, refunding = u.refunding, owed = u.owed, unburned = u.unburned,
        version = u.version, next_expiry_us = u.next_expiry_us, running = u.running, windows = u.windows,
        budgets = u.budgets, now_us = u.now_us
    FROM unnest($::text[], $::bigint[], $::bigint[], $::bigint[], $::bigint[], $::bigint[], $::bigint[], $::bigint[],
                $::bigint[], $::bytea[], $::json[], $::bigint[])
        AS u (id, available, held, refunding, owed, unburned, version, next_expiry_us, running, windows, budgets, now_us)
    WHERE a.id = u.id
    RETURNING 1
)

-- name: part_keys
keys_written AS (
    UPDATE api_keys k
    SET running = u.running, windows = u.windows, spent = u.spent, cap = u.cap, budgets = u.budgets
    FROM unnest($::text[], $::text[], $::bigint[], $::bytea[], $::bigint[], $::json[], $::json[])
        AS u (account_id, id, running, windows, spent, cap, budgets)
    WHERE k.account_id = u.account_id AND k.id = u.id
    RETURNING 1
)

-- name: part_opened
opened AS (
    INSERT INTO holds (account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, boot, request)
    SELECT * FROM unnest($::text[], $::text[], $::text[], $::bigint[], $::bigint[], $::bigint[], $::bigint[],
                         $::bigint[], $::json[])
    RETURNING 1
)

-- name: part_extended
extended AS (
    UPDATE holds h
    SET amount = u.amount, tokens_reserved = u.tokens_reserved, revision = h.revision + 1
    FROM unnest($::text[], $::text[], $::integer[], $::bigint[], $::bigint[])
        AS u (account_id, id, revision, amount, tokens_reserved)
    WHERE h.account_id = u.account_id AND h.id = u.id AND h.revision = u.revision
    RETURNING 1
)

-- name: part_ended
ended AS (
    DELETE FROM holds h
    USING unnest($::text[], $::text[], $::integer[]) AS u (account_id, id, revision)
    WHERE h.account_id = u.account_id AND h.id = u.id AND h.revision = u.revision
    RETURNING 1
)

-- name: part_charged
charged AS (
    INSERT INTO charges (account_id, hold_id, kind, ended, stamp, key_id, model, held, amount, from_hold,
                         from_available, shortfall, opened_us, ended_us, receipt)
    SELECT * FROM unnest($::text[], $::text[], $::text[], $::text[], $::text[], $::text[], $::text[], $::bigint[],
                         $::bigint[], $::bigint[], $::bigint[], $::bigint[], $::bigint[], $::bigint[], $::json[])
    RETURNING 1
)

-- name: part_entered
entered AS (
    INSERT INTO entries (account_id, move_id, part, move, debit, credit, amount, version, at_us, lot_id, hold_id,
                         corrects, reason)
    SELECT * FROM unnest($::text[], $::text[], $::smallint[], $::text[], $::text[], $::text[], $::bigint[],
                         $::bigint[], $::bigint[], $::text[], $::text[], $::text[], $::text[])
    RETURNING 1
)

-- name: part_claimed
claimed AS (
    INSERT INTO idempotency (account_id, key, fingerprint, hold_id, created_us)
    SELECT * FROM unnest($::text[], $::text[], $::bytea[], $::text[], $::bigint[])
    ON CONFLICT (account_id, key) DO NOTHING
    RETURNING 1
)

-- name: part_completed
completed AS (
    UPDATE idempotency i SET completed = true
    FROM unnest($::text[], $::text[]) AS u (account_id, hold_id)
    WHERE i.account_id = u.account_id AND i.hold_id = u.hold_id
    RETURNING 1
)

-- name: part_freed
freed AS (
    DELETE FROM idempotency i
    USING unnest($::text[], $::text[]) AS u (account_id, hold_id)
    WHERE i.account_id = u.account_id AND i.hold_id = u.hold_id AND NOT i.completed
    RETURNING 1
)

-- name: part_kept
kept AS (
    INSERT INTO kept_answers (account_id, hold_id, fingerprint, sealed, expires_us)
    SELECT * FROM unnest($::text[], $::text[], $::bytea[], $::bytea[], $::bigint[])
    RETURNING 1
)

-- name: write_lots
INSERT INTO lots (account_id, id, category, amount, created_us, priority, expires_us, refundable_until_us,
                  payment_id, cost_basis, burned, expired, refunding, refunded, charged_back, disputed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (account_id, id) DO UPDATE
SET burned = excluded.burned, expired = excluded.expired, refunding = excluded.refunding,
    refunded = excluded.refunded, charged_back = excluded.charged_back, disputed = excluded.disputed, expires_us = excluded.expires_us

-- name: write_lapsing
UPDATE holds SET lapsing = $3, revision = revision + 1
WHERE account_id = $1 AND id = $2

-- name: charges_of_hold
SELECT kind, ended, amount, shortfall FROM charges WHERE account_id = $1 AND hold_id = $2

-- name: is_claimed
SELECT EXISTS (SELECT FROM idempotency WHERE account_id = $1 AND key = $2)

-- name: remember_once
INSERT INTO once (scope, key, account_id, result, at_us) VALUES ($1, $2, $3, $4, unix_us())

-- name: recall_once
SELECT account_id, result FROM once WHERE scope = $1 AND key = $2

-- name: find_boot
SELECT number FROM boots WHERE id = $1 FOR UPDATE

-- name: new_boot
INSERT INTO boots (id, started_us) VALUES ($1, unix_us()) RETURNING number

-- name: lock_boot
SELECT pg_try_advisory_lock(64222, $1::integer)

-- name: other_boots
SELECT number FROM boots WHERE number <> $1 ORDER BY number

-- name: boot_is_dead
SELECT pg_try_advisory_xact_lock_shared(64222, $1::integer)

-- name: holds_of_boot
SELECT account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, lapsing, revision, boot, request
FROM holds WHERE boot = $1 ORDER BY account_id, opened_us LIMIT 1000

-- name: overdue_holds
SELECT account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, lapsing, revision, boot, request
FROM holds WHERE deadline_us < unix_us() ORDER BY account_id, opened_us LIMIT 1000

-- name: forget_boot
DELETE FROM boots
WHERE number = $1 AND pg_try_advisory_xact_lock(64222, $1::integer)
  AND NOT EXISTS (SELECT FROM holds WHERE boot = $1)

-- name: catalogue_version
SELECT version FROM catalogue_state
