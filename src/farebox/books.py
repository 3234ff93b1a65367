"""The books: a database and what stands on it, for a command or for a worker.

`open_books` wires the stores of a process around one pool and one ledger writer. Apart from `main`, so that a command
that only looks something up loads no server. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from farebox.admission.state import LimitScope
from farebox.config import Settings
from farebox.faults import SetupFault
from farebox.observe.metrics import Metrics
from farebox.store import statements
from farebox.store.accounts import Accounts
from farebox.store.api_keys import ApiKeys
from farebox.store.blobs import Blobs, Folder
from farebox.store.catalogue import Catalogue, Snapshot
from farebox.store.catalogue_changes import CatalogueChanges
from farebox.store.embedded import EmbeddedPostgres, make_data_dir
from farebox.store.files import Files
from farebox.store.history import History
from farebox.store.id_source import new_id
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.migrate import migrate
from farebox.store.partitions import ensure_partitions
from farebox.store.postgres import Pool, connect_owner, open_pool
from farebox.tariff.price_list import PriceList, read_price_list
from farebox.upstream.secrets import KeyRing, load_or_create

SHIPPED_PRICES = Path(__file__).parent / "price_lists"
SHIPPED = "shipped price list"
LIST_FILES = (".yaml", ".yml", ".json")


@dataclass(slots=True)
class Books:
    """The database and what stands on it."""

    settings: Settings
    dsn: str
    pool: Pool
    writer: LedgerWriter
    catalogue: Catalogue
    accounts: Accounts
    api_keys: ApiKeys
    changes: CatalogueChanges
    history: History
    files: Files
    key_ring: KeyRing
    metrics: Metrics


@contextmanager
def database(settings: Settings, *, serving: bool = False) -> Generator[str, None, None]:
    """The address of the database; the embedded one is started, or shared with the gateway that runs it."""
    if not settings.embedded:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir, serving=serving) as server:
        yield server.dsn


async def set_up(dsn: str) -> list[str]:
    """Bring the schema up to date and make partitions, as the database's owner. Returns the migrations applied."""
    applied = [str(migration) for migration in await migrate(dsn)]
    connection = await connect_owner(dsn)
    try:
        now_us = await connection.fetchval(statements.load("catalogue")["now"])
        await ensure_partitions(connection, now_us)
    finally:
        await connection.close()
    return applied


@asynccontextmanager
async def open_books(
    settings: Settings,
    dsn: str,
    *,
    changed: Callable[[Snapshot], None] = lambda _: None,
    metrics: Metrics | None = None,
) -> AsyncGenerator[Books, None]:
    """The books of an up-to-date database, with a ledger writer of this process."""
    metrics = metrics or Metrics()
    key_ring = _key_ring(settings.secret_key_path)
    async with open_pool(dsn, size=settings.database_connections) as pool:
        scope = LimitScope(settings.limit_scope)
        catalogue = Catalogue(dsn, pool, key_ring, limit_scope=scope, changed=changed)
        changes = CatalogueChanges(pool, key_ring)
        await catalogue.load()
        if not catalogue.current.models:
            await changes.import_models(shipped_prices().models, starts_us=None, source=SHIPPED)
            await catalogue.load()
        gap_s = settings.commit_gap_ms / 1000
        writer = LedgerWriter(dsn, catalogue.rules, boot_id=new_id("boot"), commit_gap_s=gap_s, observer=metrics)
        await writer.start()
        try:
            with file_store(settings) as blobs:
                yield Books(
                    settings, dsn, pool, writer, catalogue, Accounts(pool, writer), ApiKeys(pool, writer), changes,
                    History(pool), Files(pool, blobs, writer), key_ring, metrics,
                )  # fmt: skip
        finally:
            await writer.stop()


@contextmanager
def file_store(settings: Settings) -> Generator[Blobs, None, None]:
    """Where the bytes of uploaded files lie: a folder, or a bucket of the operator's own, reached as no upstream is."""
    if not settings.files_s3_endpoint:
        yield Folder(settings.files_path)
        return
    if not (settings.files_s3_bucket and settings.files_s3_access_key and settings.files_s3_secret_key):
        raise SetupFault(
            "files_s3_endpoint is set. Set files_s3_bucket, files_s3_access_key and files_s3_secret_key, too."
        )
    # Here, because most have no bucket and every command starts with the books.
    from farebox.store.s3 import S3
    from farebox.upstream.client import HttpClient
    from farebox.upstream.s3_client import Bucket, S3Client
    from farebox.upstream.s3_signature import Credentials

    credentials = Credentials(settings.files_s3_access_key, settings.files_s3_secret_key, settings.files_s3_region)
    client = HttpClient(allow_private_upstreams=True)
    try:
        yield S3(S3Client(Bucket(settings.files_s3_endpoint, settings.files_s3_bucket, credentials), client))
    finally:
        client.close()


def _key_ring(path: Path) -> KeyRing:
    if not path.exists():
        make_data_dir(path.parent)
    return load_or_create(path)


def shipped_prices() -> PriceList:
    """The price list that comes with this version."""
    reading = read_price_list(decoded_list(SHIPPED_PRICES))
    if reading.refused:
        raise SetupFault(f"the shipped price list cannot be read: {reading.refused[0].problem}")
    return reading.price_list


def decoded_list(place: Path) -> dict[str, Any]:
    """A price list as it is written: one YAML or JSON file, or a folder of them, which is one list with its name.

    Raises what opening and decoding raise, and `ValueError` for a file that holds no list of models.
    """
    if not place.is_dir():
        return _decoded(place)
    files = sorted(file for file in place.iterdir() if file.suffix in LIST_FILES)
    whole: dict[str, Any] = {}
    models: list[object] = []
    for part in map(_decoded, files):
        models += part["models"]
        whole |= part
    return whole | {"name": place.name, "models": models}


def _decoded(file: Path) -> dict[str, Any]:
    import yaml  # only a database without models needs it, and commands about prices

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same language, seven times as fast
    content = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe loaders; JSON is YAML
    if not isinstance(content, dict) or not isinstance(cast("dict[str, Any]", content).get("models"), list):
        raise ValueError(f"{file.name} holds no name and list of models")
    return cast("dict[str, Any]", content)
