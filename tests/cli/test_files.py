"""`farebox file`: what a customer keeps, and deleting it for them."""

from __future__ import annotations

import asyncio
import os

from tests.cli.conftest import Farebox

from farebox.config import load_settings
from farebox.main import open_books
from farebox.store.files import NewFile, StoredFile


def keep(farebox: Farebox, account: str, *names: str) -> list[StoredFile]:
    """Files of a thousand bytes each."""

    async def work() -> list[StoredFile]:
        given = {"data_dir": str(farebox.data_dir), "database_url": farebox.variables["FAREBOX_DATABASE_URL"]}
        async with open_books(load_settings(given, environment={}), given["database_url"]) as books:
            kept: list[StoredFile] = []
            for name in names:
                async with books.files.receive(account, books.catalogue.current.tiers["free"]) as upload:
                    await upload.write(os.urandom(1000))
                    file = await upload.keep(NewFile(name, "user_data", 3600))
                assert isinstance(file, StoredFile)
                kept.append(file)
                await asyncio.sleep(0.002)
            return kept

    return asyncio.run(work())


def test_files_of_an_account_are_listed_and_deleted(farebox: Farebox) -> None:
    account = farebox.json("account", "create", "Fay")["id"]
    one, other = keep(farebox, account, "one.txt", "other.txt")
    listed = farebox.json("file", "list", "Fay")
    assert [(row["id"], row["filename"], row["size"]) for row in listed] == [
        (other.id, "other.txt", 1000),
        (one.id, "one.txt", 1000),
    ]
    assert listed[0]["expires_at"] > listed[0]["created_at"]
    shown = farebox.run("file", "list", "Fay", "--limit", "1")
    assert "other.txt" in shown.out
    assert "2 files, 2000 bytes" in shown.out
    assert f"--after {other.id}" in shown.out
    assert farebox.json("file", "delete", "Fay", other.id)["id"] == other.id
    assert [row["id"] for row in farebox.json("file", "list", "Fay")] == [one.id]
    assert [path.name for path in (farebox.data_dir / "files").rglob("file-*")] == [one.id]


def test_a_file_of_another_account_is_not_found(farebox: Farebox) -> None:
    farebox.run("account", "create", "Gil")
    mine = farebox.json("account", "create", "Hal")["id"]
    (file,) = keep(farebox, mine, "mine.txt")
    ran = farebox.run("file", "delete", "Gil", file.id)
    assert (ran.code, ran.out) == (3, "")
    assert "farebox file list" in " ".join(ran.err.split())
    assert len(farebox.json("file", "list", "Hal")) == 1
