"""A gateway before the sandbox provider, one for each module of tests, and a second on the same books."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.gateway import Gateway, running_gateway


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with running_gateway(module_database) as gateway:
        gateway.sandbox()
        yield gateway


@pytest.fixture(scope="module")
def other_gateway(module_database: str, gateway: Gateway) -> Iterator[Gateway]:
    """A second process' worth of gateway over the same database."""
    with running_gateway(module_database, secret_key_file=str(gateway.books.settings.secret_key_path)) as other:
        yield other
