"""Fixtures for the ledger's own tests: real writers over a real database, its books checked at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.cut_wire import CutWire, open_wire
from tests.support.ledger_desk import LedgerDesk, open_desk


@pytest.fixture
async def wire(database: str) -> AsyncIterator[CutWire]:
    """A way to the same database that can be cut."""
    async with open_wire(database) as wire:
        yield wire


@pytest.fixture
async def desk(database: str, wire: CutWire) -> AsyncIterator[LedgerDesk]:
    """A fresh database; whatever a test does in it, its books add up afterwards. The wire outlives its writers."""
    async with open_desk(database) as desk:
        yield desk
        print("what the writers met:", [noted.failures for noted in desk.noted.values()])  # shown beside a failure
        await desk.check_books()
