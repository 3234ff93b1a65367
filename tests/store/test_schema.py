"""`schema.sql` is the readable truth: it equals the sum of the migrations, and the comparison sees every difference."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

import farebox.store.migrate
from farebox.store.describe import describe_schema
from farebox.store.migrate import migrate

SCHEMA = Path(farebox.store.migrate.__file__).parent / "schema.sql"
BASE = """
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE DOMAIN amount AS bigint CHECK (VALUE >= 0);
    CREATE TABLE shelf (id int PRIMARY KEY, label text NOT NULL, mood mood, kept amount, CHECK (id > 0));
    CREATE TABLE book (id int, shelf_id int REFERENCES shelf, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE book_1 PARTITION OF book FOR VALUES FROM (1) TO (10);
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
    CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER guard BEFORE UPDATE ON shelf FOR EACH ROW EXECUTE FUNCTION guard();
    CREATE TABLE loose (n int);
    CREATE SEQUENCE numbers;
    CREATE VIEW labels AS SELECT label FROM shelf;
"""


async def described(dsn: str, sql: str = "") -> str:
    connection = await asyncpg.connect(dsn)
    try:
        if sql:
            await connection.execute(sql)
        return await describe_schema(connection)
    finally:
        await connection.close()


async def test_the_schema_file_equals_the_sum_of_the_migrations(empty_database: str, other_empty_database: str) -> None:
    await migrate(empty_database)
    from_migrations = (await described(empty_database)).splitlines()
    from_schema_file = (await described(other_empty_database, SCHEMA.read_text(encoding="utf-8"))).splitlines()
    assert from_migrations == from_schema_file
    assert len(from_migrations) > 50


async def test_the_order_of_columns_and_statements_makes_no_difference(
    empty_database: str, other_empty_database: str
) -> None:
    once = await described(
        empty_database, "CREATE TABLE a (x int NOT NULL, y text DEFAULT 'why'); CREATE INDEX ON a (x);"
    )
    again = await described(
        other_empty_database,
        "CREATE TABLE a (y text); ALTER TABLE a ADD x int NOT NULL; CREATE INDEX ON a (x);"
        "ALTER TABLE a ALTER y SET DEFAULT 'why'; ALTER TABLE a ADD gone int; ALTER TABLE a DROP gone;",
    )
    assert once == again


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE shelf ADD extra int",
        "ALTER TABLE shelf ALTER id TYPE bigint",
        "ALTER TABLE shelf ALTER label DROP NOT NULL",
        "ALTER TABLE shelf ALTER label SET DEFAULT ''",
        "ALTER TABLE shelf DROP CONSTRAINT shelf_id_check",
        "ALTER TABLE shelf ADD CHECK (label <> '') NOT VALID",
        "ALTER TABLE shelf DISABLE TRIGGER guard",
        "ALTER TABLE shelf SET (fillfactor = 70)",
        "ALTER TABLE shelf ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE loose SET UNLOGGED",
        "ALTER TABLE book DETACH PARTITION book_1",
        "CREATE INDEX ON shelf (label)",
        "CREATE POLICY mine ON shelf USING (id = 1)",
        "CREATE STATISTICS on_shelf ON id, label FROM shelf",
        "DROP TRIGGER guard ON shelf",
        "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n + n'",
        "CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n'",
        "CREATE OR REPLACE VIEW labels AS SELECT label FROM shelf WHERE id > 1",
        "ALTER TYPE mood ADD VALUE 'merry'",
        "ALTER DOMAIN amount ADD CHECK (VALUE < 100)",
        "ALTER SEQUENCE numbers INCREMENT 2",
        "CREATE SCHEMA attic",
        "COMMENT ON TABLE shelf IS 'wood'",
        "COMMENT ON COLUMN shelf.label IS 'what it says'",
        "GRANT SELECT ON shelf TO PUBLIC",
        "GRANT SELECT (label) ON shelf TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION twice FROM PUBLIC",
        "GRANT USAGE ON SEQUENCE numbers TO PUBLIC",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    ],
)
async def test_every_kind_of_difference_shows(empty_database: str, change: str) -> None:
    before = await described(empty_database, BASE)
    after = await described(empty_database, change)
    assert before != after
