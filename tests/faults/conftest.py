"""What crash tests share: a folder for the gateways' key and logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="farebox-faults-") as name:
        yield Path(name)
