"""A gateway before the sandbox, and customers in the situations a client library tells apart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.clients.situations import Situations
from tests.support.gateway import running_gateway


@pytest.fixture(scope="module")
def situations(module_database: str) -> Iterator[Situations]:
    with running_gateway(module_database) as gateway:
        gateway.sandbox()
        yield Situations(gateway)
