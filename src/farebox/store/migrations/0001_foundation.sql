-- The ledger, the catalogue and everything a request touches.
-- Times are microseconds since 1970 (UTC), amounts nanocredits; both bigint.
-- Text ids are time-ordered and compared bytewise (collation "C").

-- Catalogue ---------------------------------------------------------------------------------

CREATE TABLE catalogue_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL DEFAULT 1
);
INSERT INTO catalogue_state DEFAULT VALUES;

CREATE TABLE tiers (
    name                text    PRIMARY KEY,
    rank                integer NOT NULL UNIQUE CHECK (rank >= 0),
    priority            integer NOT NULL CHECK (priority BETWEEN 1 AND 4),
    requests_per_minute bigint  CHECK (requests_per_minute > 0),
    tokens_per_minute   bigint  CHECK (tokens_per_minute > 0),
    requests_per_day    bigint  CHECK (requests_per_day > 0),
    concurrency         bigint  CHECK (concurrency > 0),
    webhooks            boolean NOT NULL,
    max_api_keys        bigint  CHECK (max_api_keys > 0),
    max_file_bytes      bigint  CHECK (max_file_bytes > 0),
    max_storage_bytes   bigint  CHECK (max_storage_bytes > 0)
);
INSERT INTO tiers VALUES
    ('free',       0, 1, 10,   40000,   500,    NULL, false, 5,    10485760,   104857600),
    ('basic',      1, 2, 50,   200000,  10000,  NULL, false, 20,   104857600,  1073741824),
    ('pro',        2, 3, 100,  1000000, 100000, NULL, true,  100,  536870912,  10737418240),
    ('enterprise', 3, 4, NULL, NULL,    NULL,   NULL, true,  NULL, 2147483648, 107374182400);

-- A model and its prices: the facts are replaced by an import, the prices are only added to.
CREATE TABLE models (
    id       text    PRIMARY KEY,
    facts    json    NOT NULL,
    enabled  boolean NOT NULL DEFAULT true
);

CREATE TABLE price_versions (
    version    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model      text   NOT NULL REFERENCES models,
    starts_us  bigint NOT NULL,
    rate_card  json,
    cost_card  json,
    source     text   NOT NULL,
    added_us   bigint NOT NULL
);
CREATE INDEX price_versions_of_model ON price_versions (model, starts_us);

CREATE TABLE channels (
    id         text    COLLATE "C" PRIMARY KEY,
    name       text    NOT NULL UNIQUE,
    dialect    text    NOT NULL,
    base_url   text    NOT NULL,
    enabled    boolean NOT NULL DEFAULT true,
    options    json    NOT NULL DEFAULT '{}',
    created_us bigint  NOT NULL
);

CREATE TABLE offer_costs (
    version    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id text   COLLATE "C" NOT NULL,
    model      text   NOT NULL REFERENCES models,
    starts_us  bigint NOT NULL,
    cost_card  json,
    source     text   NOT NULL,
    added_us   bigint NOT NULL
);

CREATE TABLE channel_keys (
    id         text    COLLATE "C" PRIMARY KEY,
    channel_id text    COLLATE "C" NOT NULL REFERENCES channels ON DELETE CASCADE,
    sealed     bytea   NOT NULL,
    hint       text    NOT NULL,
    enabled    boolean NOT NULL DEFAULT true,
    options    json    NOT NULL DEFAULT '{}',
    created_us bigint  NOT NULL
);

-- Accounts and keys -------------------------------------------------------------------------

-- Hot rows: half-empty pages keep their updates in place (heap-only tuples).
CREATE TABLE accounts (
    id               text    COLLATE "C" PRIMARY KEY,
    name             text    NOT NULL,
    email            text,
    tier             text    NOT NULL REFERENCES tiers,
    suspended        boolean NOT NULL DEFAULT false,
    settings_version bigint  NOT NULL DEFAULT 1,
    available        bigint  NOT NULL DEFAULT 0 CHECK (available >= 0),
    held             bigint  NOT NULL DEFAULT 0 CHECK (held >= 0),
    refunding        bigint  NOT NULL DEFAULT 0 CHECK (refunding >= 0),
    owed             bigint  NOT NULL DEFAULT 0 CHECK (owed >= 0),
    unburned         bigint  NOT NULL DEFAULT 0 CHECK (unburned >= 0),
    version          bigint  NOT NULL DEFAULT 0 CHECK (version >= 0),
    next_expiry_us   bigint,
    running          bigint  NOT NULL DEFAULT 0 CHECK (running >= 0),
    windows          bytea   NOT NULL DEFAULT '',
    budgets          json    NOT NULL DEFAULT '[]',
    now_us           bigint  NOT NULL DEFAULT 0,
    created_us       bigint  NOT NULL,
    CONSTRAINT debts_are_paid_first CHECK (owed = 0 OR available = 0)
) WITH (fillfactor = 50);

CREATE TABLE api_keys (
    account_id       text    COLLATE "C" NOT NULL REFERENCES accounts,
    id               text    COLLATE "C" NOT NULL,
    name             text    NOT NULL,
    settings         json    NOT NULL,
    settings_version bigint  NOT NULL DEFAULT 1,
    cap              json,
    budgets          json    NOT NULL DEFAULT '[]',
    running          bigint  NOT NULL DEFAULT 0 CHECK (running >= 0),
    windows          bytea   NOT NULL DEFAULT '',
    spent            bigint  NOT NULL DEFAULT 0 CHECK (spent >= 0),
    created_us       bigint  NOT NULL,
    PRIMARY KEY (account_id, id)
) WITH (fillfactor = 50);

-- Which secret opens which key. Only hashes; a regenerated key has a new row here.
CREATE TABLE api_key_secrets (
    hash       bytea  PRIMARY KEY CHECK (length(hash) = 32),
    account_id text   COLLATE "C" NOT NULL,
    key_id     text   COLLATE "C" NOT NULL,
    hint       text   NOT NULL,
    created_us bigint NOT NULL,
    FOREIGN KEY (account_id, key_id) REFERENCES api_keys
);
CREATE INDEX api_key_secrets_of_key ON api_key_secrets (account_id, key_id);

-- Money -------------------------------------------------------------------------------------

-- An open hold is a row; its end deletes it and writes its charge in the same statement.
CREATE TABLE holds (
    account_id      text     COLLATE "C" NOT NULL REFERENCES accounts,
    id              text     COLLATE "C" NOT NULL,
    key_id          text     COLLATE "C" NOT NULL,
    amount          bigint   NOT NULL CHECK (amount >= 0),
    opened_us       bigint   NOT NULL,
    deadline_us     bigint   NOT NULL CHECK (deadline_us > opened_us),
    tokens_reserved bigint   NOT NULL CHECK (tokens_reserved >= 0),
    lapsing         json     NOT NULL DEFAULT '[]',
    revision        integer  NOT NULL DEFAULT 0,
    boot            bigint,
    request         json     NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT hold_ids_have_their_prefix CHECK (starts_with(id, 'hold_'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- One row says how a hold ended; at most one more says what was charged late.
CREATE TABLE charges (
    account_id     text     COLLATE "C" NOT NULL,
    hold_id        text     COLLATE "C" NOT NULL,
    kind           text     NOT NULL CHECK (kind IN ('end', 'late')),
    ended          text     NOT NULL CHECK (ended IN ('captured', 'voided', 'expired')),
    stamp          text     NOT NULL,
    key_id         text     COLLATE "C" NOT NULL,
    model          text     NOT NULL,
    held           bigint   NOT NULL CHECK (held >= 0),
    amount         bigint   NOT NULL CHECK (amount >= 0),
    from_hold      bigint   NOT NULL,
    from_available bigint   NOT NULL CHECK (from_available >= 0),
    shortfall      bigint   NOT NULL CHECK (shortfall >= 0),
    opened_us      bigint   NOT NULL,
    ended_us       bigint   NOT NULL,
    receipt        json     NOT NULL,
    PRIMARY KEY (account_id, hold_id, kind),
    CONSTRAINT charges_add_up CHECK (amount = from_hold + from_available + shortfall),
    CONSTRAINT the_hold_pays_first CHECK (from_hold = least(amount, held)),
    CONSTRAINT only_captures_charge CHECK (ended = 'captured' OR amount = 0),
    CONSTRAINT late_charges_hold_nothing CHECK (kind = 'end' OR (ended = 'captured' AND held = 0 AND amount > 0)),
    CONSTRAINT charges_end_after_they_open CHECK (ended_us >= opened_us),
    CONSTRAINT charges_are_stamped CHECK (stamp <> ''),
    CONSTRAINT charge_ids_have_their_prefix CHECK (starts_with(hold_id, 'hold_'))
) PARTITION BY RANGE (hold_id);

CREATE TABLE entries (
    account_id text     COLLATE "C" NOT NULL,
    move_id    text     COLLATE "C" NOT NULL,
    part       smallint NOT NULL CHECK (part >= 0),
    move       text     NOT NULL,
    debit      text     NOT NULL,
    credit     text     NOT NULL,
    amount     bigint   NOT NULL CHECK (amount > 0),
    version    bigint   NOT NULL CHECK (version > 0),
    at_us      bigint   NOT NULL,
    lot_id     text     COLLATE "C",
    hold_id    text     COLLATE "C",
    corrects   text     COLLATE "C",
    reason     text,
    PRIMARY KEY (account_id, move_id, part),
    -- Each move only along its routes (ledger/posting.py): where an amount leaves and where it arrives.
    CONSTRAINT entries_follow_a_route CHECK ((move, debit, credit) IN (
        ('capture',      'customer',    'revenue'),
        ('capture',      'shortfall',   'revenue'),
        ('late_charge',  'customer',    'revenue'),
        ('late_charge',  'shortfall',   'revenue'),
        ('purchase',     'cash',        'customer'),
        ('purchase',     'promotional', 'customer'),
        ('grant',        'promotional', 'customer'),
        ('grant',        'receivable',  'customer'),
        ('expire',       'customer',    'expired'),
        ('expire',       'customer',    'receivable'),
        ('refund_start', 'customer',    'refunding'),
        ('refund_done',  'refunding',   'refunded'),
        ('refund_done',  'refunding',   'promotional'),
        ('refund_back',  'refunding',   'customer'),
        ('chargeback',   'customer',    'cash'),
        ('chargeback',   'receivable',  'cash'),
        ('recover',      'customer',    'receivable'),
        ('adjust',       'adjustment',  'customer'),
        ('adjust',       'customer',    'adjustment'))),
    -- The move that ends a hold has the hold's own body, so the primary key lets it happen once (Laws 2, 9).
    CONSTRAINT moves_of_holds_have_their_ids CHECK (
        hold_id IS NULL
        OR move_id = 'mov_' || substr(hold_id, 6) || CASE move WHEN 'late_charge' THEN '_late' ELSE '' END),
    CONSTRAINT charging_moves_name_their_hold CHECK (move NOT IN ('capture', 'late_charge') OR hold_id IS NOT NULL),
    CONSTRAINT lot_moves_name_their_lot CHECK (
        lot_id IS NOT NULL
        OR move IN ('capture', 'late_charge', 'recover')
        OR (move = 'adjust' AND credit = 'adjustment')),
    CONSTRAINT move_ids_have_their_prefix CHECK (starts_with(move_id, 'mov_'))
) PARTITION BY RANGE (move_id);

CREATE TABLE lots (
    account_id          text   COLLATE "C" NOT NULL REFERENCES accounts,
    id                  text   COLLATE "C" NOT NULL,
    category            text   NOT NULL CHECK (category IN ('starter', 'plan', 'promotional', 'paid', 'credit_line')),
    amount              bigint NOT NULL CHECK (amount > 0),
    created_us          bigint NOT NULL,
    priority            integer NOT NULL,
    expires_us          bigint,
    refundable_until_us bigint,
    payment_id          text,
    cost_basis          bigint NOT NULL CHECK (cost_basis >= 0),
    burned              bigint NOT NULL CHECK (burned >= 0),
    expired             bigint NOT NULL CHECK (expired >= 0),
    refunding           bigint NOT NULL CHECK (refunding >= 0),
    refunded            bigint NOT NULL CHECK (refunded >= 0),
    charged_back        bigint NOT NULL CHECK (charged_back >= 0),
    disputed            bigint NOT NULL CHECK (disputed >= 0),
    PRIMARY KEY (account_id, id),
    CONSTRAINT lots_give_no_more_than_they_have CHECK (
        burned + expired + refunding + refunded + charged_back <= amount),
    CONSTRAINT money_back_once CHECK (refunded + disputed <= amount),
    CONSTRAINT only_purchases_are_disputed CHECK (category = 'paid' OR (disputed = 0 AND charged_back = 0)),
    CONSTRAINT chargebacks_take_no_more_than_disputed CHECK (charged_back <= disputed),
    CONSTRAINT only_purchases_give_money_back CHECK (payment_id IS NOT NULL OR (refunding = 0 AND refunded = 0)),
    CONSTRAINT purchases_name_their_payment CHECK (category <> 'paid' OR payment_id IS NOT NULL),
    CONSTRAINT only_purchases_are_refundable CHECK (category = 'paid' OR (refundable_until_us IS NULL AND cost_basis = 0))
);
-- A payment buys once: one paid lot, and at most one bonus (Law 9).
CREATE UNIQUE INDEX lots_of_a_payment ON lots (account_id, payment_id, (category = 'paid')) WHERE payment_id IS NOT NULL;

-- One effect per key, whoever repeats it (Law 9). Never partitioned: the key alone is unique.
CREATE TABLE once (
    scope      text   NOT NULL,
    key        text   NOT NULL,
    account_id text   COLLATE "C" NOT NULL,
    result     json   NOT NULL,
    at_us      bigint NOT NULL,
    PRIMARY KEY (scope, key)
);

-- The caller's idempotency keys: one request each, and its answer for a day.
CREATE TABLE idempotency (
    account_id  text   COLLATE "C" NOT NULL,
    key         text   NOT NULL,
    fingerprint bytea  NOT NULL,
    hold_id     text   COLLATE "C" NOT NULL,
    completed   boolean NOT NULL DEFAULT false,
    created_us  bigint NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE UNIQUE INDEX idempotency_of_hold ON idempotency (account_id, hold_id);

CREATE TABLE kept_answers (
    account_id text    COLLATE "C" NOT NULL,
    hold_id    text    COLLATE "C" NOT NULL,
    fingerprint bytea  NOT NULL,
    sealed     bytea   NOT NULL,
    expires_us bigint  NOT NULL,
    PRIMARY KEY (account_id, hold_id)
);
CREATE INDEX kept_answers_by_fingerprint ON kept_answers (account_id, fingerprint);
CREATE INDEX kept_answers_by_expiry ON kept_answers (expires_us);

-- Answers of the Responses endpoint, for a while: what a later turn goes on from. Sealed.
-- One is there to be read only once the hold of its own body has ended well.
CREATE TABLE responses (
    account_id  text   COLLATE "C" NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    previous_id text   COLLATE "C",
    channel_id  text   COLLATE "C" NOT NULL,
    key_id      text   COLLATE "C" NOT NULL,
    item_ids    text[] NOT NULL,
    sealed      bytea  NOT NULL,
    expires_us  bigint NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT response_ids_have_their_prefix CHECK (starts_with(id, 'resp_'))
);
CREATE INDEX responses_by_item ON responses USING gin (item_ids);
CREATE INDEX responses_by_expiry ON responses (expires_us);

-- What customers uploaded. The bytes lie in the file store, never without a row here that says so: a row is made
-- before the first byte is written and goes after the last one is gone. Only those that are kept can be seen.
CREATE TABLE files (
    account_id text   COLLATE "C" NOT NULL REFERENCES accounts,
    id         text   COLLATE "C" NOT NULL,
    state      text   NOT NULL CHECK (state IN ('arriving', 'kept', 'leaving')),
    boot       bigint,                                                  -- the process that receives it
    filename   text,
    purpose    text,
    bytes      bigint CHECK (bytes > 0),
    sha256     bytea  CHECK (length(sha256) = 32),
    created_us bigint NOT NULL,
    expires_us bigint CHECK (expires_us > created_us),
    PRIMARY KEY (account_id, id),
    CONSTRAINT kept_files_are_whole CHECK (state <> 'kept' OR num_nulls(filename, purpose, bytes, sha256) = 0),
    CONSTRAINT file_ids_have_their_prefix CHECK (starts_with(id, 'file-'))
);
CREATE INDEX files_on_their_way ON files (account_id, id) WHERE state <> 'kept';
CREATE INDEX files_by_expiry ON files (expires_us) WHERE expires_us IS NOT NULL;

-- What the kept files of an account take together; what an upload is admitted against.
CREATE TABLE storage (
    account_id text   COLLATE "C" PRIMARY KEY REFERENCES accounts,
    files      bigint NOT NULL CHECK (files >= 0),
    bytes      bigint NOT NULL CHECK (bytes >= 0)
);

-- Processes alive: each holds a session advisory lock on its row's number.
CREATE TABLE boots (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text   COLLATE "C" NOT NULL UNIQUE,
    started_us bigint NOT NULL
);

-- Append-only (Law 7), whoever is connected.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'Law 7: % is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER entries_are_append_only BEFORE UPDATE OR DELETE ON entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER charges_are_append_only BEFORE UPDATE OR DELETE ON charges
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER prices_are_append_only BEFORE UPDATE OR DELETE ON price_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER costs_are_append_only BEFORE UPDATE OR DELETE ON offer_costs
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_stay BEFORE TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER charges_stay BEFORE TRUNCATE ON charges FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER prices_stay BEFORE TRUNCATE ON price_versions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER costs_stay BEFORE TRUNCATE ON offer_costs FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION unix_us() RETURNS bigint LANGUAGE sql VOLATILE AS
    $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- The application's role ---------------------------------------------------------------------
-- May add to the books, never change them. Where the database's owner may not create roles,
-- the triggers above still hold and the application works as the owner.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'farebox_app') THEN
        CREATE ROLE farebox_app NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN RAISE NOTICE 'no right to create the role farebox_app';
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'farebox_app') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO farebox_app;
        REVOKE UPDATE, DELETE, TRUNCATE ON entries, charges, price_versions, offer_costs FROM farebox_app;
    END IF;
END $$;
