"""The addresses the gateway answers without a provider, as its own tables state them."""

from __future__ import annotations

import inspect
from typing import Any

from farebox.edge.account import Account
from farebox.edge.asking_ahead import AskingAhead
from farebox.edge.files import FileRoutes
from farebox.edge.health import Health
from farebox.edge.models import Models
from farebox.edge.reads import Reads
from farebox.edge.routes import Routes
from farebox.edge.stored import Stored


def tables() -> list[Routes]:
    """Every table of routes; what stands behind them is never called."""
    kinds: list[Any] = [Account, AskingAhead, FileRoutes, Models, Stored]
    return [kind(*[None for _ in inspect.signature(kind).parameters]).routes for kind in kinds]


def read_routes() -> list[str]:
    """Every address; those that end in a slash take the rest as an id."""
    nothing: Any = None
    return Reads(nothing, Health(lambda: None, lambda: b"", ""), tables()).routes
