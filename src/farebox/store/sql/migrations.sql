-- How a database remembers which migrations it has seen (store/migrate.py).

-- name: create_table
CREATE TABLE IF NOT EXISTS farebox_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: table_exists
SELECT to_regclass('farebox_migrations') IS NOT NULL;

-- name: applied
SELECT number, name, checksum FROM farebox_migrations ORDER BY number;

-- name: remember
INSERT INTO farebox_migrations (number, name, checksum) VALUES ($1, $2, $3);

-- name: lock
SELECT pg_advisory_lock($1);

-- name: unlock
SELECT pg_advisory_unlock($1);
