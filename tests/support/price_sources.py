"""The price files of others that come with Farebox, decoded as importers want them."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parents[2] / "src" / "farebox" / "price_sources"
LISTED: dict[str, dict[str, str]] = json.loads((FOLDER / "sources.json").read_text())


@cache
def content(name: str) -> bytes:
    return gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes())


@cache
def decoded(name: str) -> Any:
    return msgspec.json.Decoder(float_hook=Decimal).decode(content(name))
