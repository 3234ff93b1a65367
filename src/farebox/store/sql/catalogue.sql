The catalogue: tiers, models, price versions, channels. Every change raises the version, by which
admissions notice it, and notifies the other processes, in a transaction of its own.

-- name: version
SELECT version FROM catalogue_state

-- name: tiers
SELECT name, rank, priority, requests_per_minute, tokens_per_minute, requests_per_day, concurrency, webhooks,
       max_api_keys, max_file_bytes, max_storage_bytes
FROM tiers ORDER BY rank

-- name: models
SELECT id, facts FROM models WHERE enabled ORDER BY id

-- name: model_ids
SELECT id FROM models

-- name: price_versions
SELECT version, model, starts_us, rate_card, cost_card, source FROM price_versions ORDER BY model, starts_us, version

-- name: price_version
SELECT version, model, starts_us, rate_card, cost_card, source FROM price_versions WHERE version = $1

-- name: offer_costs
SELECT version, channel_id, model, starts_us, cost_card, source FROM offer_costs
ORDER BY model, channel_id, starts_us, version

-- name: add_offer_cost
INSERT INTO offer_costs (channel_id, model, starts_us, cost_card, source, added_us)
VALUES ($1, $2, $3, $4, $5, unix_us())

-- name: channels
SELECT id, name, dialect, base_url, enabled, options FROM channels ORDER BY id

-- name: channel_keys
SELECT id, channel_id, sealed, hint, enabled, options FROM channel_keys ORDER BY channel_id, id

-- name: bump
UPDATE catalogue_state SET version = version + 1 RETURNING version

-- name: notify
SELECT pg_notify('farebox_catalogue', $1)

-- name: put_model
INSERT INTO models (id, facts, enabled) VALUES ($1, $2, true)
ON CONFLICT (id) DO UPDATE SET facts = excluded.facts, enabled = true

-- name: disable_model
UPDATE models SET enabled = false WHERE id = $1

-- name: add_price
INSERT INTO price_versions (model, starts_us, rate_card, cost_card, source, added_us)
VALUES ($1, $2, $3, $4, $5, unix_us())

-- name: put_tier
UPDATE tiers
SET priority = $2, requests_per_minute = $3, tokens_per_minute = $4, requests_per_day = $5, concurrency = $6,
    max_file_bytes = $7, max_storage_bytes = $8
WHERE name = $1

-- name: put_channel
INSERT INTO channels (id, name, dialect, base_url, enabled, options, created_us)
VALUES ($1, $2, $3, $4, $5, $6, unix_us())
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, dialect = excluded.dialect, base_url = excluded.base_url, enabled = excluded.enabled,
    options = excluded.options

-- name: channel_named
SELECT id, name, dialect, base_url, enabled, options FROM channels WHERE id = $1 OR name = $1

-- name: remove_channel
DELETE FROM channels WHERE id = $1

-- name: put_channel_key
INSERT INTO channel_keys (id, channel_id, sealed, hint, enabled, options, created_us)
VALUES ($1, $2, $3, $4, true, $5, unix_us())

-- name: remove_channel_keys
DELETE FROM channel_keys WHERE channel_id = $1

-- name: now
SELECT unix_us()
