"""Whatever is sent: a clear error in the right shape, nothing held, nothing lost, nothing of the inside shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.gateway import Answer, Customer, Gateway, chat, running_gateway
from tests.support.raw_http import RawAnswer, request, wire_to
from tests.support.shop import until

from farebox.edge import protocol

CHAT = "/v1/chat/completions"
PATIENCE_S = 0.6
MB = 1024 * 1024
CANARY = "sk-canary7q9zXw2"
INSIDE = ("Traceback", ".py", "farebox.", "msgspec", "asyncpg", "postgres", "127.0.0.1", "sandbox")
"""Words that only somebody inside could say."""


@pytest.fixture(scope="module")
def gateway(module_database: str) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch, running_gateway(module_database) as gateway:
        patch.setattr(protocol, "HEAD_PATIENCE_S", PATIENCE_S)
        patch.setattr(protocol, "SWEEP_EVERY_S", 0.1)
        gateway.sandbox()
        yield gateway


@pytest.fixture(scope="module")
def who(gateway: Gateway) -> Customer:
    return gateway.customer(credits="10")


@pytest.fixture(autouse=True)
def nothing_is_left_behind(gateway: Gateway) -> Iterator[None]:
    yield
    counted = gateway.metrics.counted
    until(lambda: counted.holds_open == counted.streams_open == 0, "a hold or a stream is still counted")
    assert gateway.call(gateway.books.pool.fetchval("SELECT count(*) FROM holds")) == 0
    assert not [key for key in counted.requests if key[1] == "internal_error"]


def is_refused(answer: Answer | RawAnswer, status: int, code: str, param: str | None = None) -> None:
    """An error in our shape that shows nothing of the inside."""
    assert (answer.status, answer.error["code"]) == (status, code), answer.body
    assert set(answer.error) == {"type", "code", "message", "param"}
    assert answer.error["param"] == param
    said = answer.body.decode()
    assert CANARY not in said
    assert not [word for word in INSIDE if word in said]


# Bodies ---------------------------------------------------------------------------------------

HI = [{"role": "user", "content": "Hi"}]
BODIES: list[tuple[bytes, str, str | None]] = [
    (b"", "invalid_json", None),
    (b" ", "invalid_json", None),
    (b"{", "invalid_json", None),
    (b"[]", "invalid_json", None),
    (b"null", "invalid_json", None),
    (b'"text"', "invalid_json", None),
    (b"model=gpt-4o&messages=hi", "invalid_json", None),
    (b"\xff\xfe\x00", "invalid_json", None),
    (b'{"model":"gpt-4o","messages":[{"role":"user","content":"\xc3\x28"}]}', "invalid_json", None),
    (b"\xef\xbb\xbf{}", "invalid_json", None),
    (b'{"model":"gpt-4o"} trailing', "invalid_json", None),
    (b'{"model":"gpt-4o","model":"gpt-4o-mini","messages":[]}', "invalid_json", None),
    (b'{"model":"gpt-4o","temperature":NaN,"messages":[]}', "invalid_json", None),
    (b"[" * 100_000, "invalid_json", None),
    (b'{"model":' + b'{"a":' * 50_000, "invalid_json", None),
    (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, "invalid_json", None),
    (b"{}", "missing_parameter", "model"),
    (json.dumps({"model": "gpt-4o"}).encode(), "missing_parameter", "messages"),
    (b'{"model":"gpt-4o","messages":[{"role":"user","content":"\\ud800"}]}', "invalid_json", None),
]


@pytest.mark.parametrize(("body", "code", "param"), BODIES, ids=[repr(body[:24]) for body, _, _ in BODIES])
def test_a_body_that_cannot_be_read(gateway: Gateway, who: Customer, body: bytes, code: str, param: str | None) -> None:
    is_refused(gateway.post(CHAT, who, body), 400, code, param)


FIELDS: list[tuple[str, Any, str, str]] = [
    ("model", 5, "invalid_parameter", "model"),
    ("model", "", "invalid_parameter", "model"),
    ("model", None, "invalid_parameter", "model"),
    ("model", "m" * 300, "invalid_parameter", "model"),
    ("model", [CANARY], "invalid_parameter", "model"),
    ("messages", [], "invalid_messages", "messages"),
    ("messages", {}, "invalid_messages", "messages"),
    ("messages", CANARY, "invalid_messages", "messages"),
    ("messages", [CANARY], "invalid_messages", "messages[0]"),
    ("messages", [{"role": 1, "content": CANARY}], "invalid_messages", "messages[0].role"),
    ("messages", [{"content": CANARY}], "invalid_messages", "messages[0].role"),
    ("messages", [{"role": "user", "content": 5}], "invalid_messages", "messages[0].content"),
    ("messages", [{"role": "user", "content": {"text": CANARY}}], "invalid_messages", "messages[0].content"),
    *[("max_tokens", value, "invalid_parameter", "max_tokens") for value in (0, -1, 1.5, -0.5, "5", True, [], 2**31)],
    *[("max_tokens", value, "invalid_parameter", "max_tokens") for value in (10**30, 1e300, -(10**30))],
    *[("max_completion_tokens", value, "invalid_parameter", "max_completion_tokens") for value in (0, -5, 0.5, "many")],
    *[("n", value, "invalid_parameter", "n") for value in (0, -1, 129, 1.5, "2", 10**18)],
    ("stream", "yes", "invalid_parameter", "stream"),
    ("stream", 1, "invalid_parameter", "stream"),
    ("stream_options", [], "invalid_parameter", "stream_options"),
    ("tools", {}, "invalid_parameter", "tools"),
    ("tools", [{"type": "web_search"}], "invalid_parameter", "tools"),
    ("modalities", ["smell"], "invalid_parameter", "modalities"),
    ("service_tier", CANARY, "invalid_parameter", "service_tier"),
    ("background", True, "invalid_parameter", "background"),
    ("web_search", True, "invalid_parameter", "web_search"),
]


@pytest.mark.parametrize(("name", "value", "code", "param"), FIELDS, ids=[f"{row[0]}={row[1]!r:.20}" for row in FIELDS])
def test_a_field_that_makes_no_sense(
    gateway: Gateway, who: Customer, name: str, value: Any, code: str, param: str
) -> None:
    is_refused(gateway.post(CHAT, who, {"model": "gpt-4o", "messages": HI, name: value}), 400, code, param)


EMBEDDINGS: list[tuple[dict[str, Any], str, str]] = [
    ({"input": ""}, "invalid_parameter", "input"),
    ({"input": []}, "invalid_parameter", "input"),
    ({"input": [""]}, "invalid_parameter", "input"),
    ({"input": ["a", 1]}, "invalid_parameter", "input"),
    ({"input": 5}, "invalid_parameter", "input"),
    ({"input": [-1]}, "invalid_parameter", "input[...]"),
    ({"input": ["a"] * 2_049}, "invalid_parameter", "input"),
    ({"input": "a", "dimensions": 0}, "invalid_parameter", "dimensions"),
    ({"input": "a", "encoding_format": "hex"}, "invalid_parameter", "encoding_format"),
    ({}, "missing_parameter", "input"),
]


@pytest.mark.parametrize(("fields", "code", "param"), EMBEDDINGS)
def test_embeddings_that_make_no_sense(
    gateway: Gateway, who: Customer, fields: dict[str, Any], code: str, param: str
) -> None:
    answer = gateway.post("/v1/embeddings", who, {"model": "text-embedding-3-small", **fields})
    assert answer.error["param"].partition("[")[0] == param.partition("[")[0]
    is_refused(answer, 400, code, answer.error["param"])


def test_an_unknown_model(gateway: Gateway, who: Customer) -> None:
    is_refused(gateway.post(CHAT, who, chat("gpt-9")), 404, "invalid_model", "model")
    is_refused(gateway.post(CHAT, who, chat("\u0000")), 404, "invalid_model", "model")


NAMES = ("model", "messages", "max_tokens", "n", "stream", "tools", "stop", "input", "metadata", "service_tier")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("role", "content", "type")), inner),
    max_leaves=8,
)


@settings(max_examples=60)
@given(fields=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5), path=st.sampled_from([CHAT, "/v1/embeddings"]))
def test_no_body_whatever_makes_a_mistake_of_ours(
    gateway: Gateway, who: Customer, fields: dict[str, Any], path: str
) -> None:
    whole = {"model": "gpt-4o-mini", "messages": HI, "max_tokens": 5, **fields}
    answer = gateway.post(path, who, whole)
    assert answer.status < 500 or answer.error["code"] == "model_unpriced", answer.body
    assert gateway.post("/v1/quote", who, whole).status == 200


# Sizes ----------------------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large_is_refused_unread(gateway: Gateway, who: Customer) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, headers=(f"content-length: {33 * MB}",)))
        is_refused(wire.answer(), 413, "body_too_large")


def test_a_client_that_sends_33_mb_all_the_same_can_read_the_answer_and_go_on(gateway: Gateway, who: Customer) -> None:
    with wire_to(gateway.port) as wire:
        assert wire.send(request("POST", CHAT, who.secret, b"x" * (33 * MB)))
        is_refused(wire.answer(), 413, "body_too_large")
        assert wire.send(request("GET", "/livez"))
        assert wire.answer().status == 200


def test_an_endless_chunked_body_is_refused_at_the_limit_and_kept_nowhere(gateway: Gateway, who: Customer) -> None:
    before = psutil.Process().memory_info().rss
    most = before
    chunk = b"%x\r\n%b\r\n" % (MB, b" " * MB)
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, headers=("transfer-encoding: chunked",)))
        sent = 0
        while sent < 200 and wire.send(chunk):
            sent += 1
            most = max(most, psutil.Process().memory_info().rss)
        assert 33 < sent < 200, "cut off in the end"
    assert most - before < 110 * MB, "the limit itself, twice while it is put together"


def test_a_chunked_body_over_the_limit_gets_its_answer(gateway: Gateway, who: Customer) -> None:
    chunk = b"%x\r\n%b\r\n" % (MB, b" " * MB)
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, headers=("transfer-encoding: chunked",)) + chunk * 33)
        is_refused(wire.answer(), 413, "body_too_large")
        wire.send(b"0\r\n\r\n" + request("GET", "/livez"))
        assert wire.answer().status == 200


def test_a_body_of_exactly_the_limit_is_read(gateway: Gateway, who: Customer) -> None:
    text = json.dumps(chat("nobody")).encode()
    answer = gateway.post(CHAT, who, text + b" " * (32 * MB - len(text)))
    is_refused(answer, 404, "invalid_model", "model")


def test_a_large_body_without_a_good_key_is_refused_for_its_key(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, "sk-wrong", headers=(f"content-length: {33 * MB}",)))
        is_refused(wire.answer(), 401, "invalid_api_key")


@pytest.mark.parametrize(
    "flood",
    [
        ("x-flood: " + "a" * 70_000,),
        tuple(f"x-{number}: {'a' * 20}" for number in range(4_000)),
        tuple(f"{'n' * 90}{number}:" for number in range(800)),
    ],
    ids=["one long", "many", "long names"],
)
def test_a_flood_of_headers(gateway: Gateway, who: Customer, flood: tuple[str, ...]) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, json.dumps(chat()).encode(), flood))
        answer = wire.answer()
        is_refused(answer, 431, "invalid_http")
        assert wire.is_closed()
    assert (answer.header("x-request-id") or "").startswith("req_")


def test_a_flood_that_never_ends(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(b"GET / HTTP/1.1\r\n")
        sent = 0
        while sent < 400 and wire.send(b"x-more: " + b"a" * 1_000 + b"\r\n"):
            sent += 1
        is_refused(wire.answer(), 431, "invalid_http")


def test_a_flood_of_trailers(gateway: Gateway, who: Customer) -> None:
    body = json.dumps(chat()).encode()
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, headers=("transfer-encoding: chunked",)))
        wire.send(b"%x\r\n%b\r\n0\r\n" % (len(body), body))
        for _ in range(100):
            wire.send(b"x-trailer: " + b"a" * 1_000 + b"\r\n")
        is_refused(wire.answer(), 431, "invalid_http")


def test_headers_of_60_kb_are_still_read(gateway: Gateway, who: Customer) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(request("GET", "/v1/key", who.secret, headers=("x-large: " + "a" * 60_000,)))
        assert wire.answer().status == 200


def test_trailers_do_not_pass_for_headers(gateway: Gateway, who: Customer) -> None:
    body = json.dumps(chat()).encode()
    trailer = f"authorization: Bearer {who.secret}\r\n".encode()
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, headers=("transfer-encoding: chunked",)))
        wire.send(b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer))
        is_refused(wire.answer(), 401, "missing_api_key")


# Half and slow requests -----------------------------------------------------------------------


def test_a_head_that_does_not_come_to_its_end(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        began = time.monotonic()
        wire.send(b"GET /livez HTTP/1.1\r\nhost:")
        is_refused(wire.answer(), 408, "invalid_http")
        assert PATIENCE_S <= time.monotonic() - began < PATIENCE_S + 2
        assert wire.is_closed()


def test_a_head_that_trickles(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(b"GET /")
        began = time.monotonic()
        while not wire.has_answered() and wire.send(b"x"):
            assert time.monotonic() - began < PATIENCE_S + 2
            time.sleep(0.05)
        is_refused(wire.answer(), 408, "invalid_http")


def test_a_body_that_does_not_come_to_its_end(gateway: Gateway, who: Customer) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, headers=("content-length: 500",)) + b'{"model":')
        is_refused(wire.answer(), 408, "invalid_http")
        assert wire.is_closed()


def test_a_connection_that_asks_for_nothing_is_closed_without_a_word(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        assert wire.is_closed()


def test_half_a_body_is_never_taken_for_a_whole_one(gateway: Gateway) -> None:
    """The first chunk reads like a whole request; the client leaves before it said so."""
    who = gateway.customer()
    body = json.dumps(chat(max_tokens=5)).encode()
    for framing in ("transfer-encoding: chunked", f"content-length: {len(body) + 9}"):
        with wire_to(gateway.port) as wire:
            wire.send(request("POST", CHAT, who.secret, headers=(framing,)))
            wire.send(b"%x\r\n%b\r\n" % (len(body), body) if "chunked" in framing else body)
            time.sleep(0.1)
    until(lambda: gateway.metrics.counted.requests["chat", "client_left"] >= 2)
    assert gateway.get("/v1/key", who).headers["x-ratelimit-used"] == "0"
    assert gateway.get("/v1/key", who).json["spent"] == "0"


def test_a_keep_alive_connection_may_rest_longer_than_a_request_may_take(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        for _ in range(2):
            wire.send(request("GET", "/livez"))
            assert wire.answer().status == 200
            time.sleep(PATIENCE_S + 0.4)


def test_a_slow_answer_is_not_a_slow_client(gateway: Gateway, who: Customer) -> None:
    slow = ("x-sandbox: delay_ms=1200",)
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, json.dumps(chat(max_tokens=5)).encode(), slow))
        assert wire.answer().status == 200


# Several requests on one connection -----------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(gateway: Gateway, who: Customer) -> None:
    paths = ["/livez", "/v1/models/gpt-4o", "/nowhere", "/readyz"]
    body = json.dumps(chat(max_tokens=5)).encode()
    with wire_to(gateway.port) as wire:
        wire.send(
            request("POST", CHAT, who.secret, body, ("x-sandbox: delay_ms=200",))
            + b"".join(request("GET", path, who.secret) for path in paths)
        )
        answers = [wire.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 404, 200]
    assert "choices" in answers[0].json
    assert answers[2].json["id"] == "gpt-4o"
    assert len({answer.header("x-request-id") for answer in answers}) == 5


@pytest.mark.parametrize("rubbish", [b"\x00\x01\x02 rubbish\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_rubbish_behind_a_request_does_not_cut_its_answer(gateway: Gateway, who: Customer, rubbish: bytes) -> None:
    body = json.dumps(chat(max_tokens=5)).encode()
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, body, ("x-sandbox: delay_ms=200",)) + rubbish)
        answer = wire.answer()
        assert answer.status == 200
        assert "choices" in answer.json
        assert wire.is_closed()


def test_a_second_request_that_dawdles_does_not_cut_the_first(gateway: Gateway, who: Customer) -> None:
    body = json.dumps(chat(max_tokens=5)).encode()
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, body, ("x-sandbox: delay_ms=1300",)) + b"GET /livez HT")
        assert wire.answer().status == 200
        wire.send(b"TP/1.1\r\nhost: test\r\n\r\n")
        assert wire.answer().status == 200


def test_a_body_that_nobody_reads_does_not_stand_in_the_way(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        for path in ("/nowhere", "/livez", "/v1/models"):
            wire.send(request("POST", path, body=b"x" * MB))
            assert wire.answer().status in (401, 404, 405)
        wire.send(request("GET", "/livez"))
        assert wire.answer().status == 200


# Odd HTTP -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nx: a\x00b\r\n\r\n",
        b"POST /v1/quote HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/quote HTTP/1.1\r\ncontent-length: ten\r\n\r\n",
        b"POST /v1/quote HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST /v1/quote HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/quote HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_told_so(gateway: Gateway, raw: bytes) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(raw)
        answer = wire.answer()
        assert answer.status in (400, 401), answer.body
        if answer.status == 400:
            is_refused(answer, 400, "invalid_http")
            assert wire.is_closed()
    assert (answer.header("x-request-id") or "").startswith("req_")


@settings(max_examples=40)
@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_whatever_harm_the_gateway(gateway: Gateway, raw: bytes) -> None:
    with wire_to(gateway.port, patience_s=0.05) as wire:
        wire.send(raw)
    assert gateway.get("/livez").status == 200


METHODS = [
    # method      path                     status  allow
    ("GET",       CHAT,                     405,   "POST, OPTIONS"),
    ("HEAD",      CHAT,                     405,   "POST, OPTIONS"),
    ("DELETE",    "/v1/embeddings",         405,   "POST, OPTIONS"),
    ("PATCH",     "/v1/quote",              405,   "POST, OPTIONS"),
    ("POST",      "/v1/models",             405,   "GET, HEAD, OPTIONS"),
    ("DELETE",    "/v1/models/gpt-4o",      405,   "GET, POST, HEAD, OPTIONS"),
    ("PUT",       "/v1/key",                405,   "GET, HEAD, OPTIONS"),
    ("POST",      "/livez",                 405,   "GET, HEAD, OPTIONS"),
    ("POST",      "/metrics",               405,   "GET, HEAD, OPTIONS"),
    ("GET",       "/nowhere",               404,   None),
    ("POST",      "/v1/nowhere",            404,   None),
    ("GET",       "/v1/receipts/",          404,   None),
    ("GET",       "/v1/models/",            404,   None),
    ("GET",       "/v1/models/../key/x",    404,   None),
    ("GET",       "/V1/MODELS",             404,   None),
    ("GET",       "/v1/chat/completions/",  405,   "POST, OPTIONS"),
    ("GET",       "/%ff%fe",                404,   None),
    ("GET",       "/" + "a" * 60_000,       404,   None),
    ("GET",       "http://test/nowhere",    404,   None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status", "allow"), METHODS, ids=[f"{m} {p[:24]}" for m, p, *_ in METHODS])
def test_methods_and_addresses_that_are_not(
    gateway: Gateway, who: Customer, method: str, path: str, status: int, allow: str | None
) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(request(method, path, who.secret))
        answer = wire.answer(bodiless=method == "HEAD")
    assert (answer.status, answer.header("allow")) == (status, allow)
    assert answer.header("content-type") == "application/json"
    if method != "HEAD":
        assert answer.error["code"] in ("method_not_allowed", "not_found", "invalid_model")


def test_a_body_may_be_announced_first(gateway: Gateway, who: Customer) -> None:
    body = json.dumps(chat(max_tokens=5)).encode()
    expect = ("expect: 100-continue", f"content-length: {len(body)}")
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, headers=expect))
        assert wire.answer().status == 100
        wire.send(body)
        assert wire.answer().status == 200


@pytest.mark.parametrize(("secret", "size", "status"), [(None, 50, 401), ("its own", 33 * MB, 413)])
def test_a_body_that_is_not_wanted_is_not_asked_for(
    gateway: Gateway, who: Customer, secret: str | None, size: int, status: int
) -> None:
    expect = ("expect: 100-continue", f"content-length: {size}")
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, secret and who.secret, headers=expect))
        assert wire.answer().status == status


def test_a_compressed_body_is_refused_in_so_many_words(gateway: Gateway, who: Customer) -> None:
    for path in (CHAT, "/v1/embeddings", "/v1/quote"):
        answer = gateway.post(path, who, b"\x1f\x8b\x08", {"content-encoding": "gzip"})
        is_refused(answer, 400, "invalid_parameter", "content-encoding")
    assert gateway.post(CHAT, who, chat(max_tokens=5), {"content-encoding": "identity"}).status == 200


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel", " "])
def test_an_idempotency_key_that_is_none(gateway: Gateway, who: Customer, key: str) -> None:
    answer = gateway.post(CHAT, who, chat(), {"idempotency-key": key})
    is_refused(answer, 400, "invalid_parameter", "idempotency-key")


def test_http_1_0_is_answered_and_closed(gateway: Gateway) -> None:
    with wire_to(gateway.port) as wire:
        wire.send(b"GET /livez HTTP/1.0\r\n\r\n")
        assert wire.answer().status == 200
        assert wire.is_closed()


def test_a_wish_to_speak_websocket_is_answered_in_http(gateway: Gateway, who: Customer) -> None:
    upgrade = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: eA==")
    with wire_to(gateway.port) as wire:
        wire.send(request("GET", "/v1/realtime", who.secret, headers=upgrade))
        is_refused(wire.answer(), 404, "not_found")


def test_more_connections_than_allowed_are_told_so(module_database: str, gateway: Gateway) -> None:
    key_file = str(gateway.books.settings.secret_key_path)
    with running_gateway(module_database, secret_key_file=key_file, max_connections=2) as small:
        with wire_to(small.port) as one, wire_to(small.port) as two:
            for wire in (one, two):
                wire.send(request("GET", "/livez"))
                assert wire.answer().status == 200
            with wire_to(small.port) as three:
                answer = three.answer()
                assert (answer.status, answer.error["type"]) == (503, "service_unavailable")
                assert three.is_closed()
        until(lambda: small.get("/livez").status == 200)
