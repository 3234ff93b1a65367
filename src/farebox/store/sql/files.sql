Files: their rows and what they take together. A row's way is arriving, kept, leaving, gone; it is never lost between
the two, since every change of what is kept changes `storage` in the same statement or transaction.

-- name: storage
SELECT files, bytes FROM storage WHERE account_id = $1

-- name: begin_file
INSERT INTO files (account_id, id, state, boot, created_us) VALUES ($1, $2, 'arriving', $3, unix_us())

-- name: keep_file
UPDATE files SET state = 'kept', boot = NULL, filename = $3, purpose = $4, bytes = $5, sha256 = $6,
                 expires_us = created_us + $7::bigint * 1000000
WHERE account_id = $1 AND id = $2 AND state = 'arriving'
RETURNING account_id, id, filename, purpose, bytes AS size, sha256, created_us, expires_us

-- name: take_storage
INSERT INTO storage AS kept (account_id, files, bytes)
SELECT $1, 1, $2::bigint WHERE $3::bigint IS NULL OR $2 <= $3
ON CONFLICT (account_id) DO UPDATE SET files = kept.files + 1, bytes = kept.bytes + excluded.bytes
WHERE kept.files < $4 AND ($3 IS NULL OR kept.bytes + excluded.bytes <= $3)
RETURNING bytes

-- name: abandon_file
UPDATE files SET state = 'leaving' WHERE account_id = $1 AND id = $2 AND state = 'arriving' RETURNING id

-- name: file
SELECT account_id, id, filename, purpose, bytes AS size, sha256, created_us, expires_us FROM files
WHERE account_id = $1 AND id = $2 AND state = 'kept' AND (expires_us IS NULL OR expires_us > unix_us())

-- name: newest_files
SELECT account_id, id, filename, purpose, bytes AS size, sha256, created_us, expires_us FROM files
WHERE account_id = $1 AND state = 'kept' AND (expires_us IS NULL OR expires_us > unix_us())
  AND ($2::text IS NULL OR purpose = $2) AND ($3::text IS NULL OR id < $3 COLLATE "C")
ORDER BY id DESC LIMIT $4

-- name: oldest_files
SELECT account_id, id, filename, purpose, bytes AS size, sha256, created_us, expires_us FROM files
WHERE account_id = $1 AND state = 'kept' AND (expires_us IS NULL OR expires_us > unix_us())
  AND ($2::text IS NULL OR purpose = $2) AND ($3::text IS NULL OR id > $3 COLLATE "C")
ORDER BY id LIMIT $4

-- name: let_go
WITH gone AS (
    UPDATE files SET state = 'leaving'
    WHERE account_id = $1 AND id = $2 AND state = 'kept' AND (expires_us IS NULL OR expires_us > unix_us())
    RETURNING bytes)
UPDATE storage SET files = storage.files - 1, bytes = storage.bytes - gone.bytes FROM gone
WHERE storage.account_id = $1
RETURNING gone.bytes

-- name: expire_files
WITH due AS (
    SELECT account_id, id FROM files
    WHERE expires_us <= (SELECT unix_us()) AND state = 'kept' AND ($1::text IS NULL OR account_id = $1)
    ORDER BY expires_us LIMIT 1000 FOR UPDATE SKIP LOCKED),
gone AS (
    UPDATE files SET state = 'leaving' FROM due WHERE files.account_id = due.account_id AND files.id = due.id
    RETURNING files.account_id, files.bytes),
freed AS (SELECT account_id, count(*) AS files, sum(bytes)::bigint AS bytes FROM gone GROUP BY account_id)
UPDATE storage SET files = storage.files - freed.files, bytes = storage.bytes - freed.bytes FROM freed
WHERE storage.account_id = freed.account_id

-- name: abandon_orphans
UPDATE files SET state = 'leaving'
WHERE state = 'arriving' AND NOT EXISTS (SELECT FROM boots WHERE boots.number = files.boot)

-- name: leaving_files
SELECT account_id, id, bytes IS NULL AS half FROM files WHERE state = 'leaving' ORDER BY random() LIMIT 500

-- name: forget_file
DELETE FROM files WHERE account_id = $1 AND id = $2 AND state = 'leaving'
