"""The price files of others: those that come with Farebox, and newer ones an operator has fetched.

Farebox fetches nothing itself. `price_sources/sources.json` says of each shipped file its version, licence and hash,
and when it was taken; a file whose hash is another is not read.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from farebox.cli.output import CommandFailed, ExitCode
from farebox.faults import SetupFault
from farebox.tariff.foreign_prices import Terms
from farebox.tariff.import_genai_prices import read_genai_prices
from farebox.tariff.import_litellm import read_litellm
from farebox.tariff.price_list import Reading

FOLDER = Path(__file__).parents[1] / "price_sources"


class Source(StrEnum):
    """Whose prices."""

    GENAI_PRICES = "genai-prices"
    LITELLM = "litellm"


READERS: dict[Source, Callable[[object, Terms], Reading]] = {
    Source.GENAI_PRICES: read_genai_prices,
    Source.LITELLM: read_litellm,
}


class Listed(msgspec.Struct, frozen=True):
    """What is known of a shipped file."""

    version: str
    licence: str
    home: str
    taken: date
    sha256: str


class SourceFile(NamedTuple):
    """A file of another project, decoded."""

    name: str
    """With its version, or the file's own name."""
    as_of: date
    content: Any


def open_source(source: Source, file: Path | None) -> SourceFile:
    """The shipped file of a source, or this one. Numbers are exact decimals."""
    if file is not None:
        try:
            taken = datetime.fromtimestamp(file.stat().st_mtime, UTC).date()
            return SourceFile(f"{source} ({file.name})", taken, _decoded(_unpacked(file)))
        except (OSError, EOFError, msgspec.DecodeError) as trouble:
            raise CommandFailed(
                f"The file {file} cannot be read: {trouble}.",
                code=ExitCode.USAGE,
                next_step=f"It must be the JSON that {source} publishes, also with gzip.",
            ) from None
    listed = shipped()[source]
    content = _unpacked(FOLDER / f"{source}.json.gz")
    if hashlib.sha256(content).hexdigest() != listed.sha256:
        raise SetupFault(f"The shipped prices of {source} are not the ones that came with Farebox. Install it again.")
    return SourceFile(f"{source} {listed.version}", listed.taken, _decoded(content))


def shipped() -> dict[Source, Listed]:
    """The files that come with Farebox."""
    return msgspec.json.decode((FOLDER / "sources.json").read_bytes(), type=dict[Source, Listed])


def _unpacked(file: Path) -> bytes:
    content = file.read_bytes()
    return gzip.decompress(content) if file.suffix == ".gz" else content


_decoded = msgspec.json.Decoder(float_hook=Decimal).decode
