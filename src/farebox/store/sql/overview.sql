What the operator's commands look through across accounts, and the one thing they seal anew.

-- name: budgets
SELECT budgets FROM accounts WHERE id = $1

-- name: open_hold_anywhere
SELECT account_id, id, key_id, amount, opened_us, deadline_us, request FROM holds WHERE id = $1

-- name: secret_of_key
SELECT hash FROM api_key_secrets WHERE key_id = $1 LIMIT 1

-- name: charges_after
SELECT account_id, hold_id, kind, model, amount, receipt
FROM charges
WHERE (account_id, hold_id, kind) > ($1, $2, $3) AND hold_id >= $4 AND amount > 0 AND model = ANY($5::text[])
ORDER BY account_id, hold_id, kind LIMIT $6

-- name: sealed_keys
SELECT id, sealed FROM channel_keys ORDER BY id FOR UPDATE

-- name: seal_key
UPDATE channel_keys SET sealed = $2 WHERE id = $1

-- name: condition
SELECT current_setting('server_version') AS version, unix_us() AS now_us,
       EXISTS (SELECT FROM pg_roles WHERE rolname = 'farebox_app') AS has_role,
       (SELECT array_agg(c.relname::text ORDER BY c.relname)
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass('charges') OR i.inhparent = to_regclass('entries')) AS partitions

-- name: has_accounts
SELECT EXISTS (SELECT FROM accounts)
