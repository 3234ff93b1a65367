"""The addresses of the HTTP reference are those that the gateway answers."""

from __future__ import annotations

import re

from tests.docs.pages import page
from tests.support.gateway import Gateway, running_gateway
from tests.support.routes import read_routes

from farebox.wire.dialect import DIALECTS

WRITTEN = [
    tuple(code.split())
    for row in page("docs/reference/http.md").table("address", "")
    for code in re.findall(r"`([^`]+)`", row[0])
]


def test_every_address_of_the_reference_is_answered(database: str) -> None:
    with running_gateway(database) as gateway:
        unknown = [(method, path) for method, path in WRITTEN if _status(gateway, method, path) in (404, 405)]
        assert unknown == []


def test_every_route_of_the_gateway_is_in_the_reference() -> None:
    routes = {*read_routes(), *(dialect.path for dialect in DIALECTS)} - {"/"}
    written = {path if ":" in path else path.partition("{")[0].rstrip("/") for _, path in WRITTEN}
    assert {route.rstrip("/") for route in routes} - written == set()


def _status(gateway: Gateway, method: str, path: str) -> int:
    place = re.sub(r"\{\w+\}", "x", path)
    if method == "DELETE":
        return gateway.delete(place).status
    return gateway.get(place).status if method == "GET" else gateway.post(place, None, {}).status
