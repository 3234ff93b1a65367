"""Named SQL statements from the `.sql` files of this package.

A file holds statements separated by lines `-- name: some_name`; what stands before the first
name is commentary. `load("ledger")` reads `sql/ledger.sql` once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType

_MARK = "-- name: "


@functools.cache
def load(name: str) -> Mapping[str, str]:
    """The statements of `sql/<name>.sql` by name. A name that stands twice raises `ValueError`."""
    text = resources.files("farebox.store").joinpath("sql", f"{name}.sql").read_text("utf-8")
    statements: dict[str, str] = {}
    for block in text.split(_MARK)[1:]:
        title, _, body = block.partition("\n")
        if title.strip() in statements:
            raise ValueError(f"{name}.sql names {title.strip()!r} twice")
        statements[title.strip()] = body.strip()
    return MappingProxyType(statements)
