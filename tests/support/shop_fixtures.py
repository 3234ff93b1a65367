"""A shop per test: a running gateway for the module, an upstream and a channel of the test's own.

A module sets `SETTINGS` for its gateway, and `CHANNEL` for the options of the channel.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.gateway import Gateway, running_gateway
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import MODELS, UPSTREAM_NAMES, Shop, remove_channel, sell


@pytest.fixture(scope="module")
def shop_gateway(module_database: str, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with running_gateway(module_database, **getattr(request.module, "SETTINGS", {})) as gateway:
        sell(gateway, *MODELS)
        yield gateway


@pytest.fixture
def shop(shop_gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Shop]:
    with ScriptedUpstream() as upstream:
        options = {"bills_after_disconnect": False} | getattr(request.module, "CHANNEL", {})
        channel_id = shop_gateway.channel(upstream.base_url, models=UPSTREAM_NAMES, **options)
        yield Shop(shop_gateway, upstream, channel_id)
        remove_channel(shop_gateway, channel_id)
