Stored responses: kept before the charge they belong to, read only after it, always by account.

-- name: keep_response
WITH RECURSIVE turns AS (
    SELECT r.id, r.previous_id, 1 AS depth FROM responses r WHERE r.account_id = $1 AND r.id = $3
    UNION ALL
    SELECT r.id, r.previous_id, t.depth + 1
    FROM turns t JOIN responses r ON r.account_id = $1 AND r.id = t.previous_id
    WHERE t.depth < 1000
),
-- A conversation lives as long as its last turn; once a day is often enough to say so.
longer AS (
    UPDATE responses r SET expires_us = unix_us() + $8 FROM turns t
    WHERE r.account_id = $1 AND r.id = t.id AND r.expires_us < unix_us() + $8 - 86400000000
)
INSERT INTO responses (account_id, id, previous_id, channel_id, key_id, item_ids, sealed, expires_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, unix_us() + $8)
ON CONFLICT DO NOTHING

-- name: response_turns
WITH RECURSIVE turns AS (
    SELECT r.id, r.previous_id, r.channel_id, r.key_id, r.sealed, 1 AS depth,
        octet_length(r.sealed)::bigint AS bytes
    FROM responses r
    WHERE r.account_id = $1 AND r.id = $2 AND r.expires_us > unix_us() AND EXISTS (
        SELECT FROM charges c
        WHERE c.account_id = $1 AND c.hold_id = 'hold_' || substr($2, 6) AND c.kind = 'end'
          AND (c.ended = 'captured' OR c.stamp = 'empty'))
    UNION ALL
    SELECT r.id, r.previous_id, r.channel_id, r.key_id, r.sealed, t.depth + 1,
        t.bytes + octet_length(r.sealed)
    FROM turns t JOIN responses r ON r.account_id = $1 AND r.id = t.previous_id
    WHERE t.depth < $3 AND t.bytes <= $4
)
SELECT id, previous_id, channel_id, key_id, sealed FROM turns ORDER BY depth DESC

-- name: responses_with_items
SELECT id, previous_id, channel_id, key_id, sealed
FROM (
    SELECT r.*, sum(octet_length(r.sealed)) OVER (ORDER BY r.id DESC) AS bytes
    FROM responses r
    WHERE r.account_id = $1 AND r.item_ids && $2 AND r.expires_us > unix_us() AND EXISTS (
        SELECT FROM charges c
        WHERE c.account_id = $1 AND c.hold_id = 'hold_' || substr(r.id, 6) AND c.kind = 'end'
          AND (c.ended = 'captured' OR c.stamp = 'empty'))
    ORDER BY r.id DESC LIMIT 100
) AS named
WHERE bytes <= $3
ORDER BY id

-- name: drop_response
DELETE FROM responses WHERE account_id = $1 AND id = $2 AND EXISTS (
    SELECT FROM charges c
    WHERE c.account_id = $1 AND c.hold_id = 'hold_' || substr($2, 6) AND c.kind = 'end'
      AND (c.ended = 'captured' OR c.stamp = 'empty'))
RETURNING id

-- name: drop_old_responses
DELETE FROM responses WHERE (account_id, id) IN (
    SELECT account_id, id FROM responses WHERE expires_us < unix_us() LIMIT 500)
