"""Refusals over HTTP: what each looks like, and which of two that hold at once is said."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.shop import model_for_sale, sell, until

from farebox.admission.state import Budget, BudgetAction, Limits
from farebox.money import Nano, parse_credits
from farebox.store.api_keys import KeyChange
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.billing_mode import BillingMode
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import CallPrice, CallUnit, RateCard

CHAT = "/v1/chat/completions"
BODY_LIMIT = 100_000
BY_TOKEN = RateCard(rates={Meter.INPUT: "1000", Meter.OUTPUT: "1000"})
BY_CALL = RateCard(call_price=CallPrice("0.05", CallUnit.CALL, 400))
LEFT_OUT = object()
A_LITTLE = Budget(id="a_little", limit=parse_credits("0.000001"), action=BudgetAction.BLOCK)


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    settings = {"body_limit_bytes": BODY_LIMIT, "first_byte_timeout_s": 1, "queue_timeout_s": 1}
    with running_gateway(module_database, top_up_url="https://example.com/buy", **settings) as gateway:
        sell(
            gateway,
            msgspec.structs.replace(model_for_sale("words", BY_TOKEN), min_tier="pro"),
            model_for_sale("calls", BY_CALL),
            model_for_sale("lonely", BY_TOKEN),
            model_for_sale("unpriced", RateCard()),
            *[model_for_sale(name, BY_TOKEN) for name in BREAKABLE],
        )
        for name in ("words", "calls", "unpriced", *BREAKABLE):
            options = {"concurrency": 1} if name == "crowded" else {}
            gateway.sandbox(models={name: name}, **options)
        yield gateway


BREAKABLE = ("crowded", "limited", "broken", "slow", "rejected", "picky")
"""One channel each, so that what breaks one breaks no other."""


Operation = Callable[[Gateway, Customer], Coroutine[Any, Any, Any]]
"""Something the operator does."""


@dataclass
class Scene:
    """A customer and a request that would be answered, until something is spoiled."""

    gateway: Gateway
    fields: dict[str, Any] = field(default_factory=lambda: {"model": "words", "max_tokens": 20})
    headers: dict[str, str] = field(default_factory=dict[str, str])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    credits: str = "10"
    cap: Budget | None = None
    budgets: tuple[Budget, ...] = ()
    path: str = CHAT
    method: str = "POST"
    padding: int = 0
    is_cut: bool = False
    secret: str | None = "its own"
    before: list[Callable[[Scene, Customer], None]] = field(default_factory=list[Any])
    """What the customer did while all was well."""
    after: list[Operation] = field(default_factory=list[Any])

    def body(self) -> bytes:
        text = "Say something." + "x" * self.padding
        fields = {"messages": [{"role": "user", "content": text}], **self.fields}
        whole = json.dumps({name: value for name, value in fields.items() if value is not LEFT_OUT}).encode()
        return whole[:-1] if self.is_cut else whole

    def play(self) -> Answer:
        gateway, books = self.gateway, self.gateway.books
        # A key without limits counts nothing, so that a limit set later would begin at zero.
        who = gateway.customer(credits=self.credits, settings=KeySettings(limits=Limits(requests_per_minute=1_000)))
        for act in self.before:
            act(self, who)
        change = KeyChange(settings=KeySettings(**self.settings), cap=self.cap)
        gateway.call(books.api_keys.edit(who.account_id, who.key_id, change))
        gateway.call(books.accounts.set_budgets(who.account_id, self.budgets))
        for act in self.after:
            gateway.call(act(gateway, who))
        secret = who.secret if self.secret == "its own" else self.secret
        if self.method != "POST":
            return self.gateway.get(self.path, secret, self.headers)
        return self.gateway.post(self.path, secret, self.body(), self.headers)


Spoil = Callable[[Scene], None]


def having(**changes: Any) -> Spoil:
    """Set fields of the scene; dictionaries are added to."""

    def spoil(scene: Scene) -> None:
        for name, value in changes.items():
            old = getattr(scene, name)
            setattr(scene, name, {**old, **value} if isinstance(old, dict) else value)

    return spoil


def later(act: Operation) -> Spoil:
    """Something the operator does before the request comes."""
    return lambda scene: scene.after.append(act)


def _spoiled(gateway: Gateway, *spoils: Spoil) -> Scene:
    scene = Scene(gateway)
    for spoil in spoils:
        spoil(scene)
    return scene


def _in_tier(tier: str) -> Spoil:
    return later(lambda gateway, who: gateway.books.accounts.set_tier(who.account_id, tier))


def _leave(credits: str) -> Operation:
    """Take away all credits but these."""

    async def take(gateway: Gateway, who: Customer) -> None:
        account = await gateway.books.accounts.get(who.account_id)
        assert account is not None
        change = parse_credits(credits) - account.available
        await gateway.books.accounts.adjust(who.account_id, Nano(change), reason="spent elsewhere")

    return take


def _used_for_another_body(scene: Scene) -> None:
    scene.headers["idempotency-key"] = "k"
    scene.before.append(lambda scene, who: _answered(scene, who, "Something else.", {"idempotency-key": "k"}))


def _answered_and_forgotten(scene: Scene) -> None:
    def use(scene: Scene, who: Customer) -> None:
        assert scene.gateway.post(CHAT, who, scene.body(), {"idempotency-key": "k"}).status == 200
        forget = "DELETE FROM kept_answers WHERE account_id = $1"
        scene.gateway.call(scene.gateway.books.pool.execute(forget, who.account_id))

    scene.headers["idempotency-key"] = "k"
    scene.before.append(use)


def _still_running(scene: Scene) -> None:
    def use(scene: Scene, who: Customer) -> None:
        headers = {"idempotency-key": "k", "x-sandbox": "delay_ms=700"}
        threading.Thread(target=scene.gateway.post, args=(CHAT, who, scene.body(), headers)).start()
        until(lambda: scene.gateway.held(who) > 0)

    scene.headers["idempotency-key"] = "k"
    scene.before.append(use)


def _crowd(scene: Scene) -> None:
    def use(scene: Scene, who: Customer) -> None:
        headers = {"x-sandbox": "delay_ms=900,tokens=1"}
        threading.Thread(target=scene.gateway.post, args=(CHAT, who, scene.body(), headers)).start()
        until(lambda: scene.gateway.held(who) > 0)

    scene.before.append(use)


def _one_running(scene: Scene) -> None:
    scene.settings["limits"] = Limits(concurrency=1)
    _crowd(scene)


@dataclass(frozen=True)
class Row:
    """A refusal, what makes it, and how it is told."""

    code: str
    status: int
    kind: str
    param: str | None
    retry: str
    """`never`: x-should-retry is false; `after`: Retry-After; `day`: both; `` : neither."""
    spoil: Spoil


def _limited(**limits: int) -> Spoil:
    return having(settings={"limits": Limits(**limits)})


def _reached(**limits: int) -> Spoil:
    """A limit of one, and one request has come."""

    def spoil(scene: Scene) -> None:
        _limited(**limits)(scene)
        scene.before.append(lambda scene, who: _answered(scene, who, "Something before."))

    return spoil


def _answered(scene: Scene, who: Customer, text: str, headers: dict[str, str] | None = None) -> None:
    body = {"model": "words", "max_tokens": 5, "messages": [{"role": "user", "content": text}]}
    answer = scene.gateway.post(CHAT, who, body, headers)
    assert answer.status == 200, answer.body


def _model(name: str, sandbox: str = "") -> Spoil:
    return having(fields={"model": name}, headers={"x-sandbox": sandbox} if sandbox else {})


AUTH, PERMIT, CONFLICT, REQUEST = "authentication_error", "permission_error", "conflict_error", "invalid_request_error"
RATE, BILL, GONE, UPSTREAM = "rate_limit_error", "billing_error", "service_unavailable", "upstream_error"
GONE_KEY = having(secret="sk-0000")
TOO_MUCH_FOR_A_CALL = having(fields={"model": "calls"}, padding=9_000)
_elsewhere = having(settings={"ip_ranges": ("10.0.0.0/8",)})
TOO_LONG = _limited(tokens_per_minute=5)

ROWS = [
    Row("method_not_allowed",       405, REQUEST,  None,       "never", having(method="GET")),
    Row("missing_api_key",          401, AUTH,     None,       "never", having(secret=None)),
    Row("invalid_api_key",          401, AUTH,     None,       "never", GONE_KEY),
    Row("key_revoked",              401, AUTH,     None,       "never",
        later(lambda gateway, who: gateway.books.api_keys.revoke(who.account_id, who.key_id))),
    Row("key_expired",              401, AUTH,     None,       "never", having(settings={"expires_us": 1})),
    Row("account_suspended",        403, PERMIT,   None,       "never",
        later(lambda gateway, who: gateway.books.accounts.set_suspended(who.account_id, True))),
    Row("key_disabled",             403, PERMIT,   None,       "never", having(settings={"enabled": False})),
    Row("ip_not_allowed",           403, PERMIT,   None,       "never", _elsewhere),
    Row("idempotency_mismatch",     409, CONFLICT, None,       "never", _used_for_another_body),
    Row("idempotency_in_progress",  409, CONFLICT, None,       "after", _still_running),
    Row("idempotency_completed",    409, CONFLICT, "receipt",  "never", _answered_and_forgotten),
    Row("body_too_large",           413, REQUEST,  None,       "never", having(padding=BODY_LIMIT)),
    Row("invalid_json",             400, REQUEST,  None,       "never", having(is_cut=True)),
    Row("invalid_messages",         400, REQUEST,  "messages[0].role", "never",
        having(fields={"messages": [{"role": 5}]})),
    Row("missing_parameter",        400, REQUEST,  "messages", "never", having(fields={"messages": LEFT_OUT})),
    Row("invalid_parameter",        400, REQUEST,  "max_tokens", "never", having(fields={"max_tokens": 0})),
    Row("invalid_parameter",        400, REQUEST,  "x-max-credits", "never", having(headers={"x-max-credits": "-1"})),
    Row("invalid_parameter",        400, REQUEST,  "tokens_per_minute", "never", TOO_LONG),
    Row("context_length_exceeded",  400, REQUEST,  "messages", "never", TOO_MUCH_FOR_A_CALL),
    Row("invalid_model",            404, "not_found_error", "model", "never", _model("nobody-sells-this")),
    Row("model_not_allowed",        403, PERMIT,   "model",    "never", having(settings={"models": ("calls",)})),
    Row("model_tier_restricted",    403, PERMIT,   "model",    "never", _in_tier("basic")),
    Row("billing_mode_unsupported", 403, PERMIT,   "model",    "never",
        having(settings={"billing_mode": BillingMode.PAY_PER_CALL})),
    Row("model_unpriced",           503, GONE,     "model",    "never", _model("unpriced")),
    Row("rate_limit_exceeded",      429, RATE,     "requests_per_minute", "after", _reached(requests_per_minute=1)),
    Row("rate_limit_exceeded",      429, RATE,     "requests_per_day",    "day",   _reached(requests_per_day=1)),
    Row("rate_limit_exceeded",      429, RATE,     "concurrency",         "after", _one_running),
    Row("insufficient_credits",     402, BILL,     None,       "never", later(_leave("0.000001"))),
    Row("key_limit_reached",        402, BILL,     "a_little", "never", having(cap=A_LITTLE)),
    Row("budget_exceeded",          402, BILL,     "a_little", "never", having(budgets=(A_LITTLE,))),
    Row("budget_exceeded",          402, BILL,     "x-max-credits", "never",
        having(headers={"x-max-credits": "0.000001"})),
    Row("no_upstream_available",    503, GONE,     None,       "after", _model("lonely")),
    Row("queue_timeout",            503, GONE,     None,       "after",
        lambda scene: (_model("crowded")(scene), _crowd_long(scene))[0]),
    Row("rate_limit_exceeded",      429, RATE,     "upstream", "after", _model("limited", "status=429,retry_after=7")),
    Row("no_upstream_available",    503, GONE,     None,       "after", _model("rejected", "status=401")),
    Row("upstream_error",           502, UPSTREAM, None,       "",      _model("broken", "status=500")),
    Row("upstream_timeout",         504, UPSTREAM, None,       "",      _model("slow", "delay_ms=1500")),
]  # fmt: skip


def _crowd_long(scene: Scene) -> None:
    def use(scene: Scene, who: Customer) -> None:
        headers = {"x-sandbox": "chunks=40,pace_ms=50"}
        body = json.loads(scene.body()) | {"stream": True, "max_tokens": 400}
        threading.Thread(target=scene.gateway.post, args=(CHAT, who, body, headers)).start()
        until(lambda: scene.gateway.held(who) > 0)

    scene.before.append(use)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.code} {row.param or ''}".strip())
def test_a_refusal_is_told_in_its_own_way(gateway: Gateway, row: Row) -> None:
    answer = _spoiled(gateway, row.spoil).play()
    error = answer.error
    assert (answer.status, error["type"], error["code"]) == (row.status, row.kind, row.code), answer.body
    assert error["message"]
    assert error["message"].endswith((".", "`."))
    assert error["param"] == row.param or (row.param == "receipt" and error["param"].startswith("/v1/receipts/req_"))
    assert answer.headers.get("x-should-retry") == ("false" if row.retry in ("never", "day") else None)
    assert ("retry-after" in answer.headers) is (row.retry in ("after", "day"))
    assert answer.headers["x-request-id"].startswith("req_")
    if row.code not in ("missing_api_key", "invalid_api_key", "method_not_allowed"):
        assert answer.headers["x-ratelimit-resource"] == "chat"
        assert answer.headers["x-request-priority"] in "1234"


CONFLICTING = {
    ("missing_api_key", "invalid_api_key"): "a request has one key",
    ("invalid_api_key", "key_revoked"): "a request has one key",
    ("idempotency_mismatch", "idempotency_in_progress"): "one use of the key came before",
    ("idempotency_in_progress", "idempotency_completed"): "one use of the key came before",
    ("idempotency_completed", "body_too_large"): "a body this large is not read, so it is the same as no other",
    ("context_length_exceeded", "invalid_model"): "a model has a context, or is none",
    ("billing_mode_unsupported", "model_unpriced"): "a model has methods, or no price",
    ("no_upstream_available", "queue_timeout"): "a model has channels, or none",
    ("queue_timeout", "rate_limit_exceeded"): "of different models",
    ("rate_limit_exceeded", "no_upstream_available"): "of different models",
    ("no_upstream_available", "upstream_error"): "of different models",
    ("upstream_error", "upstream_timeout"): "of different models",
}
"""Neighbours that cannot both hold."""

OF_ONE_KIND = {400}
"""Whatever of it is found first: all of these are about the body."""


def _by_code(code: str, param: str | None = None) -> Row:
    return next(row for row in ROWS if row.code == code and (param is None or row.param == param))


NEIGHBOURS = [
    (one, other)
    for one, other in itertools.pairwise(ROWS)
    if one.code != other.code
    and (one.code, other.code) not in CONFLICTING
    and not (one.status == other.status and one.status in OF_ONE_KIND)
] + [
    (_by_code("invalid_api_key"), _by_code("invalid_parameter", "x-max-credits")),
    (_by_code("key_revoked"), _by_code("body_too_large")),
    (_by_code("account_suspended"), _by_code("idempotency_mismatch")),
    (_by_code("idempotency_mismatch"), _by_code("invalid_model")),
    (_by_code("invalid_parameter", "max_tokens"), _by_code("invalid_model")),
    (_by_code("model_tier_restricted"), _by_code("rate_limit_exceeded", "requests_per_minute")),
    (_by_code("rate_limit_exceeded", "requests_per_minute"), _by_code("key_limit_reached")),
    (_by_code("insufficient_credits"), _by_code("no_upstream_available")),
]


@pytest.mark.parametrize(("one", "other"), NEIGHBOURS, ids=lambda row: row.code)
def test_of_two_refusals_the_earlier_is_said(gateway: Gateway, one: Row, other: Row) -> None:
    answer = _spoiled(gateway, other.spoil, one.spoil).play()
    assert (answer.status, answer.error["code"], answer.error["param"]) == (one.status, one.code, one.param)


def test_a_paid_answer_can_be_fetched_without_credits_or_limits(gateway: Gateway) -> None:
    scene = Scene(gateway, credits="1", headers={"idempotency-key": "k"})
    scene.before.append(lambda scene, who: scene.gateway.post(CHAT, who, scene.body(), scene.headers))
    later(_leave("0"))(scene)
    having(budgets=(A_LITTLE,), settings={"limits": Limits(requests_per_minute=1)})(scene)
    answer = scene.play()
    assert answer.status == 200
    assert answer.headers["idempotent-replayed"] == "true"
    assert "x-credits-charged" not in answer.headers


def test_too_little_money_is_told_in_numbers(gateway: Gateway) -> None:
    answer = Scene(gateway, credits="0.001").play()
    error = answer.error
    assert answer.status == 402
    assert error["available"] == "0.001"
    assert error["held"] == "0"
    assert parse_credits(error["required"]) > parse_credits("0.001")
    assert error["affordable_max_tokens"] == 0
    assert error["top_up_url"] == "https://example.com/buy"


def test_a_limit_that_credits_do_not_cover_is_lowered_and_told(gateway: Gateway) -> None:
    answer = Scene(gateway, credits="3", fields={"model": "words", "max_tokens": 4_000}).play()
    assert answer.status == 200
    assert 1_024 <= int(answer.headers["x-max-tokens-applied"]) < 3_000


def test_a_cap_says_when_it_starts_again(gateway: Gateway) -> None:
    cap = msgspec.structs.replace(A_LITTLE, period="daily")
    error = Scene(gateway, cap=msgspec.convert(msgspec.to_builtins(cap), Budget)).play().error
    assert error["code"] == "key_limit_reached"
    assert error["resets_at"] % 86_400 == 0
    assert "top_up_url" not in error, "credits are not what is missing"


def test_a_tier_refusal_names_the_tier_that_would_do(gateway: Gateway) -> None:
    error = _spoiled(gateway, _in_tier("free")).play().error
    assert (error["code"], error["tier"]) == ("model_tier_restricted", "pro")


def test_a_mode_refusal_names_the_mode_that_would_do(gateway: Gateway) -> None:
    message = Scene(gateway, settings={"billing_mode": BillingMode.PAY_PER_CALL}).play().error["message"]
    assert "pay_per_call" in message
    assert "token prices" in message
    assert "pay_per_use" in message.partition("A key with the mode")[2]


PASSED_ON = [(400, REQUEST), (404, "not_found_error"), (413, REQUEST), (422, "validation_error")]


@pytest.mark.parametrize(("status", "kind"), PASSED_ON)
def test_what_the_provider_refuses_about_the_request_keeps_its_status(gateway: Gateway, status: int, kind: str) -> None:
    """d56: coding tools compact their context only on the provider's own 400 or 413."""
    who = gateway.customer()
    body = {"model": "picky", "messages": [{"role": "user", "content": "Hello"}]}
    for _ in range(4):
        answer = gateway.post(CHAT, who, body, {"x-sandbox": f"status={status}"})
        assert (answer.status, answer.error["type"]) == (status, kind)
        assert answer.headers["x-should-retry"] == "false"
    assert gateway.post(CHAT, who, body).status == 200, "the channel is as healthy as before"
    assert gateway.held(who) == 0


def test_nothing_is_held_counted_or_charged_for_what_was_refused(gateway: Gateway) -> None:
    who = gateway.customer(credits="1")
    before = gateway.available(who)
    for fields in ({"max_tokens": 0}, {"model": "nobody"}, {"model": "unpriced"}, {"messages": []}):
        body = {"model": "words", "messages": [{"role": "user", "content": "Hello"}], **fields}
        assert gateway.post(CHAT, who, body).status in (400, 404, 503)
    assert gateway.available(who) == before
    assert gateway.held(who) == 0
    assert gateway.get("/v1/key", who).headers["x-ratelimit-used"] == "0"
    assert gateway.get("/v1/key", who).json["spent"] == "0"
