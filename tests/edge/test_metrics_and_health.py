"""What operators see: metrics, health, log lines; and that nothing of a customer's words or keys is in any of them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import TEST_SERVER
from tests.support.gateway import Answer, Gateway, chat, running_gateway
from tests.support.openai_answers import chat_answer, chat_stream, failure
from tests.support.raw_http import request, wire_to
from tests.support.scripted_upstream import ScriptedUpstream
from tests.support.shop import model_for_sale, sell, until

from farebox.books import set_up
from farebox.edge.health import Health
from farebox.edge.replies import Response
from farebox.money import parse_credits
from farebox.observe.lines import LineWriter
from farebox.observe.logs import RequestLog, configure_logging
from farebox.relay import relay
from farebox.relay.buffered import Buffered
from farebox.relay.stream import Streams
from farebox.store.embedded import EmbeddedPostgres
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.meters import Meter
from farebox.tariff.rate_card import RateCard

CHAT = "/v1/chat/completions"
RATES = RateCard(rates={Meter.INPUT: "1", Meter.OUTPUT: "1"})
PROMPT, ANSWER, UPSTREAM_KEY = "prompt-4711-of-the-customer", "answer-4711-of-the-model", "sk-upstream-4711secret"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def counted(gateway: Gateway, word: str | None = None) -> Samples:
    """Every sample of /metrics, by name and labels."""
    answer = gateway.get("/metrics", word)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"farebox_{name}", tuple(sorted(labels.items()))), 0)


def test_requests_are_counted_by_route_and_code(gateway: Gateway) -> None:
    before = counted(gateway)
    who = gateway.customer()
    gateway.post(CHAT, who, chat(max_tokens=5))
    gateway.post(CHAT, who, chat("nobody"))
    gateway.post(CHAT, None, chat())
    gateway.get("/v1/models/nobody", who)
    gateway.get("/v1/receipts/nobody", who)
    gateway.get("/somewhere/else", who)
    gateway.get(CHAT, who)
    after = counted(gateway)
    for route, code in [
        ("chat", "ok"),
        ("chat", "invalid_model"),
        ("chat", "missing_api_key"),
        ("models", "invalid_model"),
        ("receipts", "not_found"),
        ("unknown", "not_found"),
        ("chat", "method_not_allowed"),
    ]:
        grown = value(after, "requests_total", route=route, code=code)
        assert grown == value(before, "requests_total", route=route, code=code) + 1, (route, code)


def test_an_address_nobody_knows_makes_no_new_series(gateway: Gateway) -> None:
    gateway.get("/one")
    before = len(counted(gateway))
    for number in range(20):
        gateway.get(f"/{number}")
    assert len(counted(gateway)) == before


@pytest.mark.parametrize("stage", ["admit", "queue", "first_byte", "upstream", "settle", "total"])
def test_every_stage_of_a_request_is_timed(gateway: Gateway, stage: str) -> None:
    before = counted(gateway)
    body = chat(max_tokens=5)
    for stream in (False, True):
        gateway.post(CHAT, gateway.customer(), body | {"stream": stream}, {"x-sandbox": "delay_ms=30"})
    after = counted(gateway)
    grown = value(after, "stage_seconds_count", stage=stage) - value(before, "stage_seconds_count", stage=stage)
    assert grown >= 2
    if stage in ("first_byte", "total"):
        spent = value(after, "stage_seconds_sum", stage=stage) - value(before, "stage_seconds_sum", stage=stage)
        assert 0.06 <= spent < 5


def test_the_ledgers_batches_and_commits_are_counted(gateway: Gateway) -> None:
    before = counted(gateway)
    gateway.post(CHAT, gateway.customer(), chat(max_tokens=5))
    after = counted(gateway)
    for name in ("ledger_batch_size_count", "ledger_commit_seconds_count", "ledger_batch_size_sum"):
        assert value(after, name) >= value(before, name) + 2, "a hold and a capture"


@pytest.mark.parametrize("sandbox", ["", "status=400", "cut=2", "empty", "error_event=1", "usage=none"])
@pytest.mark.parametrize("stream", [False, True])
def test_no_ending_leaves_a_hold_or_a_stream_in_the_gauges(gateway: Gateway, sandbox: str, stream: bool) -> None:
    gateway.post(CHAT, gateway.customer(), chat(max_tokens=50, stream=stream), {"x-sandbox": sandbox})
    until(lambda: value(counted(gateway), "holds_open") == value(counted(gateway), "streams_open") == 0)


def test_holds_and_streams_under_way_are_counted(gateway: Gateway) -> None:
    who = gateway.customer()
    body = json.dumps(chat(stream=True, max_tokens=100)).encode()
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", CHAT, who.secret, body, ("x-sandbox: chunks=10,pace_ms=50",)))
        until(lambda: value(counted(gateway), "streams_open") == value(counted(gateway), "holds_open") == 1)
        assert wire.answer().status == 200
    until(lambda: value(counted(gateway), "holds_open") == value(counted(gateway), "streams_open") == 0)


def test_upstream_health_and_shortfall_are_there(gateway: Gateway) -> None:
    sell(gateway, model_for_sale("ailing", RATES))
    with ScriptedUpstream() as upstream:
        # The sandbox offers every model, this one too; it is asked after this channel.
        channel = gateway.channel(upstream.base_url, models={"ailing": "x"}, priority=10)
        name = ("farebox_upstream_healthy", (("channel", channel),))
        assert counted(gateway)[name] == 1
        upstream.always(failure(500))
        for _ in range(4):
            gateway.post(CHAT, gateway.customer(), chat("ailing"))
        assert counted(gateway)[name] == 0
        gateway.call(gateway.books.changes.remove_channel(channel))
        gateway.call(gateway.books.catalogue.verify())
    assert name not in counted(gateway)
    assert value(counted(gateway), "shortfall_credits_total") == 0


def test_metrics_may_ask_for_a_word(module_database: str, gateway: Gateway) -> None:
    key_file = str(gateway.books.settings.secret_key_path)
    with running_gateway(module_database, secret_key_file=key_file, metrics_token="the word") as guarded:
        assert guarded.get("/metrics").status == 401
        assert guarded.get("/metrics", "another").error["code"] == "invalid_api_key"
        assert guarded.get("/metrics", guarded.customer().secret).status == 401
        assert counted(guarded, "the word")
        assert guarded.get("/livez").status == 200


def test_metrics_may_be_switched_off(module_database: str, gateway: Gateway) -> None:
    key_file = str(gateway.books.settings.secret_key_path)
    with running_gateway(module_database, secret_key_file=key_file, metrics="false") as quiet:
        assert quiet.get("/metrics").error["code"] == "not_found"


# Health ---------------------------------------------------------------------------------------


def test_a_gateway_lives_and_is_ready(gateway: Gateway) -> None:
    assert gateway.get("/livez").json == gateway.get("/readyz").json == {"status": "ok"}
    assert gateway.get("/").json == {"service": "farebox", "api": "/v1"}


def test_without_its_ledger_a_gateway_lives_is_not_ready_and_refuses(
    server_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 6. What comes back is ready again by itself."""
    monkeypatch.setattr(relay, "ADMIT_PATIENCE_S", 0.5)
    server = EmbeddedPostgres(server_dir / "own", overrides=TEST_SERVER)
    with server:
        dsn = server.dsn
        asyncio.run(set_up(dsn))
        with running_gateway(dsn) as gateway:
            gateway.sandbox()
            who = gateway.customer()
            assert gateway.post(CHAT, who, chat(max_tokens=5)).status == 200
            server.stop()
            until(lambda: gateway.get("/readyz").status == 503)
            assert gateway.get("/readyz").json == {"status": "not ready", "why": "the ledger is not connected"}
            assert gateway.get("/livez").status == 200
            for answer in (
                gateway.post(CHAT, who, chat(max_tokens=5)),
                gateway.post(CHAT, "sk-unknown", chat(max_tokens=5)),
                gateway.post("/v1/quote", who, chat()),
                gateway.post(CHAT, who, b"{"),
                gateway.get("/v1/models", who),
                gateway.get("/v1/receipts/req_" + "0" * 26, who),
            ):
                _is_unavailable(answer)
            server.start()
            until(lambda: gateway.get("/readyz").status == 200, within_s=15)
            assert gateway.post(CHAT, who, chat(max_tokens=5)).status == 200
            assert gateway.held(who) == 0


def test_a_gateway_that_shuts_down_is_not_ready_and_says_so() -> None:
    answer = Health(lambda: "shutting down", None, "").paths["/readyz"]("")
    assert isinstance(answer, Response)
    assert (answer.status, json.loads(answer.body)) == (503, {"status": "not ready", "why": "shutting down"})


def _is_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.error["code"]) == (503, "ledger_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "x-should-retry" not in answer.headers


# Logs -----------------------------------------------------------------------------------------


@contextmanager
def logging_to(out: io.BytesIO) -> Iterator[RequestLog]:
    """Everything this process logs goes to `out`, as it does when it serves."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    lines = LineWriter(out)
    configure_logging(lines, level="debug")
    try:
        yield RequestLog(lines)
    finally:
        lines.close()
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)


def test_nothing_a_customer_wrote_or_holds_is_in_a_log_or_an_error(module_database: str, gateway: Gateway) -> None:
    """d50: no prompt, answer, key or upstream address in any line, metric or error."""
    out, said = io.BytesIO(), list[Answer]()
    guarded = Gateway(module_database, {"secret_key_file": str(gateway.books.settings.secret_key_path)})
    with logging_to(out) as guarded.request_log, ScriptedUpstream() as upstream:
        guarded.start()
        sell(guarded, model_for_sale("private", RATES))
        guarded.channel(upstream.base_url, models={"private": "inner-model-4711"}, secrets=(UPSTREAM_KEY,), priority=9)
        who = guarded.customer()
        strict = guarded.key(who.account_id, settings=KeySettings(models=("private",)))
        body = chat("private", PROMPT, user="user-4711", metadata={"user_id": "user-4711"})
        leak = f"key {UPSTREAM_KEY} at {upstream.base_url} for org-4711secret"
        scripts = [(chat_answer(text=ANSWER), False), (chat_stream(text=ANSWER), True)]
        scripts += [(failure(status, leak), stream) for status in (400, 500, 401) for stream in (False, True)]
        for script, stream in scripts:
            upstream.always(script)
            said.append(guarded.post(CHAT, who, body | {"stream": stream}))
        upstream.always(None)
        said.append(guarded.post(CHAT, strict, body | {"model": PROMPT}))
        said.append(guarded.post(CHAT, who, body | {"messages": [{"role": 5, "content": PROMPT}]}))
        said.append(guarded.post(CHAT, "sk-wrong-4711key-of-somebody", body))
        said.append(guarded.get(f"/v1/models/{who.secret}", who))
        said.append(guarded.get(f"/{PROMPT}?key={who.secret}", who))
        said.append(guarded.get("/metrics"))
        with wire_to(guarded.port) as wire:
            wire.send(b"rubbish " + PROMPT.encode() + b"\r\n\r\n")
            wire.answer()
        guarded.stop()
    logged = out.getvalue().decode()
    secrets = (
        who.secret,
        strict.secret,
        UPSTREAM_KEY,
        "4711key",
        "4711secret",
        "user-4711",
        "inner-model",
        upstream.base_url,
    )
    for secret in (*secrets, PROMPT, ANSWER):
        assert secret not in logged
    assert all(ANSWER in answer.body.decode() for answer in said[:2])
    errors = "".join(answer.body.decode() for answer in said if answer.status != 200)
    for secret in (*secrets, "org-4711"):
        assert secret not in errors
    lines = [json.loads(line) for line in logged.splitlines()]
    requests = [line for line in lines if line.get("event") == "request"]
    assert len(requests) == len(said) - 1, "one line each; reading metrics has none"
    assert {line["request_id"] for line in requests} <= {answer.headers["x-request-id"] for answer in said}


def test_a_request_line_says_where_its_time_and_money_went(module_database: str, gateway: Gateway) -> None:
    out = io.BytesIO()
    logged = Gateway(module_database, {"secret_key_file": str(gateway.books.settings.secret_key_path)})
    with logging_to(out) as logged.request_log:
        logged.start()
        who = logged.customer()
        answer = logged.post(CHAT, who, chat(max_tokens=5), {"x-sandbox": "delay_ms=20"})
        logged.stop()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    line: dict[str, Any] = next(line for line in lines if line["event"] == "request")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["route"], line["code"], line["status"], line["ended"]) == ("chat", "ok", 200, "provider")
    assert (line["account_id"], line["key_id"], line["model"]) == (who.account_id, who.key_id, "gpt-4o")
    assert line["charged"] == answer.headers["x-credits-charged"]
    assert line["attempts"] == 1
    assert 20_000 <= line["first_byte_us"] < line["total_us"]
    assert line["admit_us"] + line["first_byte_us"] + line["settle_us"] <= line["total_us"]


# Mistakes of ours, and the end ---------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_mistake_of_ours_shows_an_id_and_nothing_else_and_gives_the_hold_back(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def stumble(*_: object) -> None:
        raise RuntimeError(f"inside: {PROMPT} {UPSTREAM_KEY}")

    monkeypatch.setattr(Streams if stream else Buffered, "answer", stumble)
    who = gateway.customer(credits="1")
    answer = gateway.post(CHAT, who, chat(stream=stream))
    assert (answer.status, answer.error["type"], answer.error["code"]) == (500, "internal_error", "internal_error")
    assert answer.headers["x-request-id"] in answer.error["message"]
    for word in ("inside", PROMPT, UPSTREAM_KEY, "Traceback", "RuntimeError"):
        assert word not in answer.body.decode()
    assert (gateway.held(who), gateway.available(who)) == (0, parse_credits("1"))
    assert gateway.receipt(who, answer.headers["x-request-id"])["status"] == "voided"
    assert gateway.metrics.counted.holds_open == 0


def test_a_request_that_shutdown_cuts_off_is_told_to_come_again(module_database: str, gateway: Gateway) -> None:
    settings = {"secret_key_file": str(gateway.books.settings.secret_key_path), "drain_timeout_s": 1}
    who = gateway.customer(credits="1")
    with running_gateway(module_database, **settings) as closing, ThreadPoolExecutor(2) as pool:
        bodies = (chat(max_tokens=500), chat(max_tokens=500, stream=True))
        slow = {"x-sandbox": "delay_ms=200,tokens=300,chunks=100,pace_ms=200"}
        whole = pool.submit(closing.post, CHAT, who, bodies[0], {"x-sandbox": "delay_ms=8000"})
        streamed = pool.submit(closing.post, CHAT, who, bodies[1], slow)
        until(lambda: closing.metrics.counted.holds_open == 2)
        closing.stop()
        answer = whole.result()
        assert (answer.status, answer.error["code"]) == (503, "no_upstream_available")
        assert answer.headers["retry-after"] == "1"
        assert b"[DONE]" in streamed.result().body or b'"error"' in streamed.result().body
    assert gateway.held(who) == 0
    assert gateway.receipt(who, answer.headers["x-request-id"])["charged"] == "0"
    assert gateway.receipt(who, streamed.result().headers["x-request-id"])["reason"] == "gateway_cut"
