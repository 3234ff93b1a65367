What the audit reads, page by page, each page in one repeatable-read snapshot. Pages are walked by key, so
memory stays bounded; what is summed over an account is summed in the snapshot that its row is read in.

-- name: open_snapshot
SELECT set_config('statement_timeout', '600000', true), set_config('idle_in_transaction_session_timeout', '60000', true)

-- name: in_order_of_keys
-- A page is read along its index. Believing that few rows follow a key, the planner would fetch all of them and sort.
SELECT set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)

-- name: expected
SELECT (SELECT GREATEST(sum(c.reltuples), 0)::bigint
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('charges'::regclass, 'entries'::regclass)) AS rows

-- name: accounts
SELECT id, available, held, refunding, owed, unburned, version, next_expiry_us, running, budgets, unix_us() AS clock_us
FROM accounts WHERE id > $1 ORDER BY id LIMIT $2

-- name: keys
SELECT account_id, id, running, spent, cap, budgets FROM api_keys WHERE account_id = ANY($1::text[]) ORDER BY account_id, id

-- name: holds
SELECT account_id, id, key_id, amount, opened_us, deadline_us, tokens_reserved, lapsing, revision, boot, request
FROM holds WHERE account_id = ANY($1::text[]) ORDER BY account_id, opened_us, id

-- name: lots
SELECT account_id, id, category, amount, created_us, priority, expires_us, refundable_until_us, payment_id, cost_basis,
       burned, expired, refunding, refunded, charged_back, disputed
FROM lots WHERE account_id = ANY($1::text[])

-- name: flows
SELECT account_id, move, debit, credit, sum(amount) AS amount
FROM entries WHERE account_id = ANY($1::text[])
GROUP BY account_id, move, debit, credit

-- name: charged
SELECT account_id, key_id, kind, sum(amount) AS amount, sum(from_hold + from_available) AS paid, sum(shortfall) AS shortfall
FROM charges WHERE account_id = ANY($1::text[])
GROUP BY account_id, key_id, kind

-- name: versions
SELECT account_id, version, move_id
FROM entries WHERE account_id = ANY($1::text[])
GROUP BY account_id, version, move_id
ORDER BY account_id, version, move_id

-- name: corrections
SELECT given.account_id, given.corrects, given.amount, corrected.moves, corrected.charged
FROM (SELECT account_id, corrects, COALESCE(sum(amount) FILTER (WHERE debit = 'adjustment'), 0) AS amount
      FROM entries WHERE account_id = ANY($1::text[]) AND corrects IS NOT NULL
      GROUP BY account_id, corrects) given
CROSS JOIN LATERAL (
    SELECT count(*) AS moves,
           sum(e.amount) FILTER (WHERE e.debit = 'customer' AND e.credit = 'revenue') AS charged
    FROM entries e WHERE e.account_id = given.account_id AND e.move_id = given.corrects) corrected

-- name: counted_by_budgets
SELECT b.place,
       COALESCE(sum(c.amount) FILTER (WHERE c.opened_us >= b.start_us), 0) AS charged,
       COALESCE(sum(c.amount) FILTER (WHERE c.opened_us < b.start_us), 0) AS charged_earlier
FROM unnest($2::integer[], $3::text[], $4::bigint[], $5::bigint[]) AS b (place, key_id, start_us, earlier_us)
LEFT JOIN charges c ON c.account_id = $1 AND c.opened_us >= b.earlier_us AND (b.key_id = '' OR c.key_id = b.key_id)
GROUP BY b.place

-- name: charges
SELECT c.*, written.paid, written.shortfall AS posted_shortfall,
       EXISTS (SELECT FROM accounts a WHERE a.id = c.account_id) AS has_account,
       EXISTS (SELECT FROM holds h WHERE h.account_id = c.account_id AND h.id = c.hold_id) AS is_open,
       CASE c.kind WHEN 'late' THEN (SELECT e.ended FROM charges e
                                     WHERE e.account_id = c.account_id AND e.hold_id = c.hold_id AND e.kind = 'end')
       END AS hold_ended
FROM (SELECT account_id, hold_id, kind, ended, stamp, key_id, model, held, amount, from_hold, from_available, shortfall,
             opened_us, ended_us, receipt
      FROM charges WHERE (account_id, hold_id, kind) > ($1, $2, $3)
      ORDER BY account_id, hold_id, kind LIMIT $4) c
CROSS JOIN LATERAL (
    SELECT COALESCE(sum(e.amount) FILTER (WHERE e.debit = 'customer'), 0) AS paid,
           COALESCE(sum(e.amount) FILTER (WHERE e.debit = 'shortfall'), 0) AS shortfall
    FROM entries e
    WHERE e.account_id = c.account_id AND e.credit = 'revenue'
      AND e.move_id = 'mov_' || substr(c.hold_id, 6) || CASE c.kind WHEN 'late' THEN '_late' ELSE '' END) written

-- name: price_version
SELECT version, model, starts_us, rate_card, cost_card, source FROM price_versions WHERE version = $1

-- name: entries
SELECT e.*,
       EXISTS (SELECT FROM accounts a WHERE a.id = e.account_id) AS has_account,
       e.lot_id IS NULL OR EXISTS (SELECT FROM lots l WHERE l.account_id = e.account_id AND l.id = e.lot_id) AS has_lot,
       e.hold_id IS NULL OR EXISTS (SELECT FROM charges c
                                    WHERE c.account_id = e.account_id AND c.hold_id = e.hold_id
                                      AND c.kind = CASE e.move WHEN 'late_charge' THEN 'late' ELSE 'end' END) AS has_charge
FROM (SELECT account_id, move_id, part, move, debit, credit, amount, version, lot_id, hold_id
      FROM entries WHERE (account_id, move_id, part) > ($1, $2, $3)
      ORDER BY account_id, move_id, part LIMIT $4) e
ORDER BY e.account_id, e.move_id, e.part

-- name: once
SELECT o.scope, o.key, o.account_id, o.result ->> 'move_id' AS move_id,
       EXISTS (SELECT FROM accounts a WHERE a.id = o.account_id) AS has_account,
       EXISTS (SELECT FROM entries e WHERE e.account_id = o.account_id AND e.move_id = o.result ->> 'move_id') AS has_entries
FROM once o WHERE (o.scope, o.key) > ($1, $2)
ORDER BY o.scope, o.key LIMIT $3

-- name: claims
SELECT i.account_id, i.key, i.hold_id, i.completed,
       EXISTS (SELECT FROM holds h WHERE h.account_id = i.account_id AND h.id = i.hold_id) AS is_open,
       (SELECT c.ended FROM charges c
        WHERE c.account_id = i.account_id AND c.hold_id = i.hold_id AND c.kind = 'end') AS ended
FROM idempotency i WHERE (i.account_id, i.key) > ($1, $2)
ORDER BY i.account_id, i.key LIMIT $3

-- name: kept_answers
SELECT k.account_id, k.hold_id,
       (SELECT c.ended FROM charges c
        WHERE c.account_id = k.account_id AND c.hold_id = k.hold_id AND c.kind = 'end') AS ended
FROM kept_answers k WHERE (k.account_id, k.hold_id) > ($1, $2)
ORDER BY k.account_id, k.hold_id LIMIT $3

-- name: unattended_holds
SELECT h.account_id, h.id, h.boot
FROM holds h
WHERE h.boot IS NOT NULL AND h.boot NOT IN (
    SELECT l.objid::bigint FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.classid = 64222 AND l.objsubid = 2 AND l.mode = 'ExclusiveLock' AND l.granted
      AND d.datname = current_database())
ORDER BY h.account_id, h.id LIMIT 10000

