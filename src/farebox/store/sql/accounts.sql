Accounts and API keys: reading them, and the cold writes that happen under an account's lock.

-- name: key_by_hash
SELECT a.id AS account_id, a.tier, a.suspended, a.settings_version AS account_settings_version,
       a.available, a.held, a.refunding, a.owed, a.unburned, a.version, a.next_expiry_us,
       a.running AS account_running, a.windows AS account_windows, a.budgets AS account_budgets, a.now_us,
       k.id AS key_id, k.settings AS key_settings, k.settings_version AS key_settings_version,
       k.cap, k.budgets AS key_budgets, k.running AS key_running, k.windows AS key_windows, k.spent,
       a.name AS account_name, a.email, a.created_us AS account_created_us,
       k.name AS key_name, s.hint, k.created_us AS key_created_us, unix_us() AS clock_us
FROM api_key_secrets s
JOIN accounts a ON a.id = s.account_id
JOIN api_keys k ON k.account_id = s.account_id AND k.id = s.key_id
WHERE s.hash = $1

-- name: new_account
INSERT INTO accounts (id, name, email, tier, created_us) VALUES ($1, $2, $3, $4, unix_us())

-- name: account
SELECT id, name, email, tier, suspended, available, held, refunding, owed, running, created_us
FROM accounts WHERE id = $1

-- name: accounts
SELECT id, name, email, tier, suspended, available, held, refunding, owed, running, created_us
FROM accounts WHERE id > $1 ORDER BY id LIMIT $2

-- name: account_by_name
SELECT id FROM accounts WHERE name = $1 OR email = $1 ORDER BY id LIMIT 2

-- name: set_tier
UPDATE accounts SET tier = $2, settings_version = settings_version + 1 WHERE id = $1

-- name: set_suspended
UPDATE accounts SET suspended = $2, settings_version = settings_version + 1 WHERE id = $1

-- name: set_budgets
UPDATE accounts SET budgets = $2, settings_version = settings_version + 1 WHERE id = $1

-- name: new_key
INSERT INTO api_keys (account_id, id, name, settings, cap, created_us) VALUES ($1, $2, $3, $4, $5, unix_us())

-- name: new_secret
INSERT INTO api_key_secrets (hash, account_id, key_id, hint, created_us) VALUES ($1, $2, $3, $4, unix_us())

-- name: drop_secrets
DELETE FROM api_key_secrets WHERE account_id = $1 AND key_id = $2

-- name: count_keys
SELECT count(*) FROM api_keys WHERE account_id = $1 AND settings ->> 'revoked_us' IS NULL

-- name: most_keys
SELECT max_api_keys FROM tiers WHERE name = $1

-- name: lock_key
SELECT id, name, settings, settings_version, cap, budgets FROM api_keys
WHERE account_id = $1 AND id = $2 FOR NO KEY UPDATE

-- name: edit_key
UPDATE api_keys SET name = $3, settings = $4, cap = $5, settings_version = settings_version + 1
WHERE account_id = $1 AND id = $2

-- name: touch_key
UPDATE api_keys SET settings_version = settings_version + 1 WHERE account_id = $1 AND id = $2

-- name: key_owner
SELECT account_id FROM api_keys WHERE id = $1

-- name: keys
SELECT k.account_id, k.id, k.name, k.settings, k.cap, k.running, k.spent, k.created_us,
       (SELECT hint FROM api_key_secrets s WHERE s.account_id = k.account_id AND s.key_id = k.id LIMIT 1) AS hint
FROM api_keys k
WHERE $1 = '' OR k.account_id = $1
ORDER BY k.account_id, k.id LIMIT 1000

-- name: entries
SELECT move_id, part, move, debit, credit, amount, version, at_us, lot_id, hold_id, corrects, reason
FROM entries
WHERE account_id = $1 AND ($2 = '' OR move_id < $2)
ORDER BY move_id DESC, part LIMIT $3

-- name: lots
SELECT id, category, amount, created_us, priority, expires_us, refundable_until_us, payment_id,
       burned, expired, refunding, refunded, charged_back,
       amount - burned - expired - refunding - refunded - charged_back AS remaining
FROM lots WHERE account_id = $1 ORDER BY created_us, id

-- name: charge
SELECT account_id, hold_id, kind, ended, stamp, key_id, model, held, amount, from_hold, from_available, shortfall,
       opened_us, ended_us, receipt
FROM charges WHERE account_id = $1 AND hold_id = $2 ORDER BY kind

-- name: charge_anywhere
SELECT account_id, hold_id, kind, ended, stamp, key_id, model, held, amount, from_hold, from_available, shortfall,
       opened_us, ended_us, receipt
FROM charges WHERE hold_id = $1 ORDER BY kind

-- name: open_hold
SELECT account_id, id, key_id, amount, opened_us, deadline_us, request FROM holds WHERE account_id = $1 AND id = $2

-- name: charged_between
SELECT COALESCE(sum(amount), 0)::bigint AS amount, count(*) AS charges
FROM charges WHERE account_id = $1 AND ($2 = '' OR key_id = $2) AND hold_id >= $3 AND hold_id < $4

-- name: charged_by_day
SELECT opened_us / 86400000000 AS day, model, sum(amount)::bigint AS amount
FROM charges WHERE account_id = $1 AND hold_id >= $2 AND hold_id < $3
GROUP BY 1, 2 ORDER BY 1, 2

-- name: find_claim
SELECT fingerprint, hold_id, completed FROM idempotency WHERE account_id = $1 AND key = $2

-- name: kept_answer
SELECT sealed FROM kept_answers WHERE account_id = $1 AND hold_id = $2 AND expires_us > unix_us()

-- name: kept_by_fingerprint
SELECT hold_id, sealed FROM kept_answers
WHERE account_id = $1 AND fingerprint = $2 AND expires_us > unix_us()
ORDER BY hold_id DESC LIMIT 1

-- name: running_like
SELECT id FROM holds
WHERE account_id = $1 AND key_id = $2 AND request ->> 'fingerprint' = $3
ORDER BY id DESC LIMIT 1

-- name: drop_old_answers
DELETE FROM kept_answers WHERE (account_id, hold_id) IN (
    SELECT account_id, hold_id FROM kept_answers WHERE expires_us < unix_us() LIMIT 500)

-- name: tier_exists
SELECT name FROM tiers WHERE name = $1

-- name: touch_account
UPDATE accounts SET settings_version = settings_version + 1 WHERE id = $1
