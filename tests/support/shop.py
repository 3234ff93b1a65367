"""A gateway, one scripted upstream and customers: what tests of the path of a request need.

    shop.upstream.play(chat_stream(text="Hello you", pause_s=0.05))
    with shop.stream(customer) as stream:
        stream.until(b"Hello")
        stream.leave()
    assert shop.charge(customer).stamp == "client_left_cancelled"

Three models are for sale: `words` is charged by tokens (1 and 3 credits a million, so that a token is 1,000 and
3,000 nanocredits), `calls` by the call (0.05 credits), `thinker` by tokens and reasons where nobody sees it.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from typing import Any

import msgspec
from tests.support.gateway import Answer, Customer, Gateway
from tests.support.scripted_upstream import ScriptedUpstream

from farebox.tariff.meters import Meter
from farebox.tariff.price_list import Model, ModelType, Reasoning
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

INPUT, OUTPUT, CACHED = 1_000, 3_000, 250
"""Nanocredits for a token of `words` and `thinker`."""
A_CALL = 50_000_000
"""Nanocredits for one call of `calls`."""
CHAT = "/v1/chat/completions"
WAIT_S = 15.0

_BY_TOKEN = RateCard(rates={Meter.INPUT: "1", Meter.CACHED_INPUT: "0.25", Meter.OUTPUT: "3"})
_BY_CALL = RateCard(call_price=CallPrice("0.05", CallUnit.CALL, 65_536))


def model_for_sale(name: str, price: RateCard, **facts: Any) -> Model:
    """A chat model with sensible facts."""
    usual: dict[str, Any] = {"context_length": 128_000, "max_output_tokens": 4_096, "tokenizer": "o200k"}
    return Model(
        id=name, display_name=name, provider="scripted", type=ModelType.CHAT, min_tier="free", price=price,
        source="https://example.com/prices", as_of=date(2026, 1, 1), **(usual | facts),
    )  # fmt: skip


MODELS = (
    model_for_sale("words", _BY_TOKEN, aliases=("words-latest",)),
    model_for_sale("calls", _BY_CALL),
    model_for_sale("thinker", _BY_TOKEN, reasoning=Reasoning.INVISIBLE),
)
UPSTREAM_NAMES = {model.id: f"upstream-{model.id}" for model in MODELS} | {
    "text-embedding-3-small": "upstream-embedding"
}


class Charge(msgspec.Struct, frozen=True):
    """How a request ended, from the books. Amounts in nanocredits."""

    hold_id: str
    kind: str
    ended: str
    stamp: str
    held: int
    amount: int
    shortfall: int
    receipt: str

    @property
    def flags(self) -> list[str]:
        return json.loads(self.receipt).get("flags", [])

    @property
    def usage(self) -> dict[str, int]:
        return json.loads(self.receipt)["charge"]["basis"]["usage"]

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return json.loads(self.receipt).get("attempts", [])


class Shop:
    """See the module."""

    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream, channel_id: str) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.channel_id = channel_id
        self.customer = gateway.customer

    def chat(self, who: Customer, *, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
        """One request to its end, streamed or not."""
        return self.gateway.post(CHAT, who, request_of(**fields), headers)

    def stream(self, who: Customer, *, headers: Mapping[str, str] | None = None, **fields: Any) -> Line:
        """A request whose answer is read piece by piece, and left when a test likes; not yet begun."""
        return Line(self.gateway.port, who, request_of(stream=True, **fields), headers or {})

    def line(self, who: Customer, *, headers: Mapping[str, str] | None = None, **fields: Any) -> Line:
        """The same for an answer that is not streamed."""
        return Line(self.gateway.port, who, request_of(**fields), headers or {})

    def charges(self, who: Customer) -> list[Charge]:
        """Everything charged or voided for a customer, oldest first, once nothing is under way any more."""
        until(lambda: self.gateway.held(who) == 0, "the hold is still open")
        return self.charges_so_far(who)

    def charges_so_far(self, who: Customer) -> list[Charge]:
        rows = self.gateway.call(
            self.gateway.books.pool.fetch(
                "SELECT hold_id, kind, ended, stamp, held, amount, shortfall, receipt FROM charges"
                " WHERE account_id = $1 ORDER BY hold_id, kind",
                who.account_id,
            )
        )
        return [msgspec.convert(dict(row), Charge) for row in rows]

    def charge(self, who: Customer) -> Charge:
        """How the only request of a customer ended."""
        (charge,) = self.charges(who)
        return charge

    def held_by(self, who: Customer) -> int:
        """What is held for a customer right now."""
        return self.gateway.held(who)

    @contextmanager
    def another(self, upstream: ScriptedUpstream | None = None, **options: Any) -> Iterator[ScriptedUpstream]:
        """One more channel, with an upstream of its own, for as long as the test needs it."""
        with ScriptedUpstream() as other:
            channel_id = self.gateway.channel((upstream or other).base_url, models=UPSTREAM_NAMES, **options)
            try:
                yield other
            finally:
                remove_channel(self.gateway, channel_id)


class Line:
    """One HTTP exchange under a test's control: read as far as wanted, then end it or hang up."""

    path = CHAT

    def __init__(self, port: int, who: Customer, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._who = who
        self._body = json.dumps(body).encode()
        self._headers = {"authorization": f"Bearer {who.secret}", "content-type": "application/json", **headers}
        self._response: http.client.HTTPResponse | None = None
        self._reading: threading.Thread | None = None
        self.seen = b""

    def __enter__(self) -> Line:
        self._connection.request("POST", self.path, self._body, self._headers)
        assert self._connection.sock is not None
        self._socket = self._connection.sock
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    @property
    def response(self) -> http.client.HTTPResponse:
        """The head of the answer, waited for."""
        if self._response is None:
            self._response = self._connection.getresponse()
        return self._response

    @property
    def request_id(self) -> str:
        return self.response.headers["x-request-id"]

    def until(self, words: bytes) -> bytes:
        """Read until these words have come; everything that came so far."""
        self._finish_reading()
        return self._until(words)

    def arrives_within(self, words: bytes, seconds: float) -> bool:
        """Whether these words come in time. Reading goes on in the background if they do not."""
        self._finish_reading()
        reading = threading.Thread(target=self._until, args=(words,), daemon=True)
        reading.start()
        reading.join(seconds)
        self._reading = reading
        return words in self.seen

    def rest(self) -> bytes:
        """Read to the end; everything."""
        self._finish_reading()
        while piece := self.response.read1(65_536):
            self.seen += piece
        return self.seen

    def _until(self, words: bytes) -> bytes:
        while words not in self.seen:
            piece = self.response.read1(65_536)
            assert piece, f"the answer ended without {words!r}: {self.seen[-300:]!r}"
            self.seen += piece
        return self.seen

    def _finish_reading(self) -> None:
        if self._reading is not None:
            self._reading.join(30)
            self._reading = None

    def leave(self) -> float:
        """Hang up; when, in monotonic seconds."""
        if self._response is not None:
            self._response.close()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        self._socket.close()
        return time.monotonic()


def request_of(text: str = "Say something short.", **fields: Any) -> dict[str, Any]:
    """A chat body for `words`, unless another model is named."""
    return {"model": "words", "messages": [{"role": "user", "content": text}], **fields}


def remove_channel(gateway: Gateway, channel_id: str) -> None:
    """Take a channel away, at once."""
    gateway.call(gateway.books.changes.remove_channel(channel_id))
    gateway.call(gateway.books.catalogue.verify())


def sell(gateway: Gateway, *models: Model) -> None:
    """Offer models at their prices from now on."""
    gateway.call(gateway.books.changes.import_models(models, starts_us=None, source="test"))
    gateway.call(gateway.books.catalogue.verify())


def until(holds: Callable[[], Any], why: str = "it did not happen", *, within_s: float = WAIT_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(0.01)
