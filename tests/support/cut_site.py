"""A gateway whose way to its ledger can be cut, silenced, and mended again, from a test that blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from tests.support.cut_wire import CutWire, Moment, Step, open_wire
from tests.support.gateway import Gateway, running_gateway
from tests.support.shop import MODELS, sell


class Site:
    """A gateway whose way to its ledger can be cut. The wire has a loop of its own, so that a test may block."""

    def __init__(self, wire: CutWire, loop: asyncio.AbstractEventLoop) -> None:
        self._wire = wire
        self._loop = loop
        self.gateway: Gateway

    def silence(self) -> None:
        self._soon(self._wire.silence)

    def resume(self) -> None:
        self._wire.refusing = False
        self._soon(self._wire.resume)

    def cut(self, step: Step, moment: Moment) -> None:
        """At the next such step."""
        self._wire.cuts.clear()
        self._wire.cut(step, moment)

    def refuse(self) -> None:
        """No new connections; those there are stay."""
        self._wire.refusing = True

    def cut_off(self) -> None:
        """No connections at all."""
        self.refuse()
        self._soon(self._wire.cut_now)

    @property
    def cuts_made(self) -> int:
        return self._wire.made

    def _soon(self, act: Callable[[], None]) -> None:
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (act(), done.set()))
        assert done.wait(5)


@contextmanager
def _wire_in_a_thread(dsn: str) -> Generator[tuple[CutWire, asyncio.AbstractEventLoop]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opening = open_wire(dsn)
    try:
        yield asyncio.run_coroutine_threadsafe(opening.__aenter__(), loop).result(5), loop
    finally:
        asyncio.run_coroutine_threadsafe(opening.__aexit__(None, None, None), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


@contextmanager
def open_site(dsn: str, **settings: object) -> Generator[Site]:
    """A gateway that reaches its database over a wire only, with the models of a shop."""
    with _wire_in_a_thread(dsn) as (wire, loop), running_gateway(wire.dsn, **settings) as gateway:
        sell(gateway, *MODELS)
        site = Site(wire, loop)
        site.gateway = gateway
        yield site
