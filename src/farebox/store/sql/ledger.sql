The statements of the group-commit ledger writer. One locking read; one writing statement built from
the parts below (only those a batch needs), sent together with its commit. The rows of a part are one
JSON parameter: an array for each column costs the driver more than all the deciding. The statement ends
with `as_decided`, which fails, and so keeps the commit behind it from happening, when fewer rows were
there than the batch decided on, or prices have changed since.

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
        version = u.version, next_expiry_us = u.next_expiry_us, running = u.running,
        windows = decode(u.windows, 'base64'), budgets = u.budgets::json, now_us = u.now_us
    FROM json_to_recordset($rows)
        AS u (id text, available bigint, held bigint, refunding bigint, owed bigint, unburned bigint, version bigint,
              next_expiry_us bigint, running bigint, windows text, budgets text, now_us bigint)
    WHERE a.id = u.id
    RETURNING 1
)

-- name: part_keys
keys_written AS (
    UPDATE api_keys k
    SET running = u.running, windows = decode(u.windows, 'base64'), spent = u.spent, cap = u.cap::json,
        budgets = u.budgets::json
    FROM json_to_recordset($rows)
        AS u (account_id text, id text, running bigint, windows text, spent bigint, cap text, budgets text)
    WHERE k.account_id = u.account_id AND k.id = u.id
    RETURNING 1
)

-- name: part_opened
opened_written AS (
    INSERT INTO holds (account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, boot, request)
    SELECT account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, boot, request
    FROM json_to_recordset($rows)
        AS u (account_id text, id text, key_id text, amount bigint, opened_us bigint, deadline_us bigint,
              tokens_reserved bigint, boot bigint, request json)
    RETURNING 1
)

-- name: part_extended
extended_written AS (
    UPDATE holds h
    SET amount = u.amount, tokens_reserved = u.tokens_reserved, revision = h.revision + 1
    FROM json_to_recordset($rows)
        AS u (account_id text, id text, revision integer, amount bigint, tokens_reserved bigint)
    WHERE h.account_id = u.account_id AND h.id = u.id AND h.revision = u.revision
    RETURNING 1
)

-- name: part_ended
ended_written AS (
    DELETE FROM holds h
    USING json_to_recordset($rows) AS u (account_id text, id text, revision integer)
    WHERE h.account_id = u.account_id AND h.id = u.id AND h.revision = u.revision
    RETURNING 1
)

-- name: part_charged
charged_written AS (
    INSERT INTO charges (account_id, hold_id, kind, ended, stamp, key_id, model, held, amount, from_hold,
                         from_available, shortfall, opened_us, ended_us, receipt)
    SELECT account_id, hold_id, kind, ended, stamp, key_id, model, held, amount, from_hold,
           from_available, shortfall, opened_us, ended_us, receipt
    FROM json_to_recordset($rows)
        AS u (account_id text, hold_id text, kind text, ended text, stamp text, key_id text, model text, held bigint,
              amount bigint, from_hold bigint, from_available bigint, shortfall bigint, opened_us bigint,
              ended_us bigint, receipt json)
    RETURNING 1
)

-- name: part_entered
entered_written AS (
    INSERT INTO entries (account_id, move_id, part, move, debit, credit, amount, version, at_us, lot_id, hold_id,
                         corrects, reason)
    SELECT account_id, move_id, part, move, debit, credit, amount, version, at_us, lot_id, hold_id, corrects, reason
    FROM json_to_recordset($rows)
        AS u (account_id text, move_id text, part smallint, move text, debit text, credit text, amount bigint,
              version bigint, at_us bigint, lot_id text, hold_id text, corrects text, reason text)
    RETURNING 1
)

-- name: part_claimed
claimed_written AS (
    INSERT INTO idempotency (account_id, key, fingerprint, hold_id, created_us)
    SELECT account_id, key, decode(fingerprint, 'base64'), hold_id, created_us
    FROM json_to_recordset($rows)
        AS u (account_id text, key text, fingerprint text, hold_id text, created_us bigint)
    ON CONFLICT (account_id, key) DO NOTHING
    RETURNING 1
)

-- name: part_completed
completed_written AS (
    UPDATE idempotency i SET completed = true
    FROM json_to_recordset($rows) AS u (account_id text, hold_id text)
    WHERE i.account_id = u.account_id AND i.hold_id = u.hold_id
    RETURNING 1
)

-- name: part_freed
freed_written AS (
    DELETE FROM idempotency i
    USING json_to_recordset($rows) AS u (account_id text, hold_id text)
    WHERE i.account_id = u.account_id AND i.hold_id = u.hold_id AND NOT i.completed
    RETURNING 1
)

-- name: part_kept
kept_written AS (
    INSERT INTO kept_answers (account_id, hold_id, fingerprint, sealed, expires_us)
    SELECT account_id, hold_id, decode(fingerprint, 'base64'), decode(sealed, 'base64'), expires_us
    FROM json_to_recordset($rows)
        AS u (account_id text, hold_id text, fingerprint text, sealed text, expires_us bigint)
    RETURNING 1
)

-- name: as_decided
SELECT 1 / ($written = $rows AND ($seen IS NULL OR (SELECT version FROM catalogue_state) <= $seen))::integer

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
