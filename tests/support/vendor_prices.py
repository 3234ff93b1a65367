"""Renews the price files of others that come with Farebox: `python -m tests.support.vendor_prices [LITELLM_JSON]`.

genai-prices keeps its prices as Python code in its wheel; they are written as JSON in the form of that project's own
`data.json`, from the installed package (which is a requirement of the tests, never of Farebox). LiteLLM's file is
taken as it is from a file named here, unpacked from a wheel or a checkout: the package itself is never installed.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import msgspec
from genai_prices import data, types

FOLDER = Path(__file__).parents[2] / "src" / "farebox" / "price_sources"
_RENAMED = {"or_": "or", "and_": "and"}


def plain(value: Any) -> Any:
    """A price record of genai-prices as JSON values; what is None is left out."""
    if isinstance(value, types.ModelPrice):
        return {name: plain(each) for name, each in vars(value).items() if each is not None}
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return {_RENAMED.get(name, name): plain(each) for name, each in fields.items() if each is not None}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat().replace("+00:00", "Z")
    return value


def genai_prices_json() -> bytes:
    """All that the installed genai-prices knows, as its own `data.json` would have it."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    return msgspec.json.format(encoder.encode(plain(data.providers)), indent=1)


def vendor(name: str, content: bytes, facts: dict[str, str]) -> None:
    """Write a file, compressed the same way each time, and what is known of it."""
    (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(content, mtime=0))
    listed = FOLDER / "sources.json"
    known: dict[str, Any] = json.loads(listed.read_text()) if listed.exists() else {}
    today = datetime.now(UTC).date().isoformat()
    known[name] = {**facts, "taken": today, "sha256": hashlib.sha256(content).hexdigest()}
    listed.write_text(json.dumps(known, indent=2) + "\n")


def main(arguments: list[str]) -> None:
    version = importlib.metadata.version("genai-prices")
    home = "https://github.com/pydantic/genai-prices"
    vendor("genai-prices", genai_prices_json(), {"version": version, "licence": "MIT", "home": home})
    if arguments:
        file, version = arguments
        home = "https://github.com/BerriAI/litellm"
        vendor("litellm", Path(file).read_bytes(), {"version": version, "licence": "MIT", "home": home})


if __name__ == "__main__":
    main(sys.argv[1:])
