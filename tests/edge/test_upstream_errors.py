"""What a provider's refusals and failures become for the customer, for the channel, and for the bill."""

from __future__ import annotations

import time

import pytest
from tests.support.gateway import Answer, chat, running_gateway
from tests.support.openai_answers import chat_answer, chat_stream, encoded, error_body, event_of, failure
from tests.support.script import Ending, events, hang_up, silence
from tests.support.script import answer as plain_answer
from tests.support.shop import INPUT, OUTPUT, UPSTREAM_NAMES, Shop, remove_channel
from tests.support.sse import chunks_of, ends_with_done, text_of

from farebox.relay import attempts

REPORTED = 12 * INPUT + 8 * OUTPUT
FORMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
SECRETS = (
    "sk-upstream-1", "org-8fJkL2mN", "api.internal-provider.com", "10.1.2.3", "upstream-words", "acct_9f8e7d6c",
    "https://",
)  # fmt: skip


def ask(shop: Shop, who: object, stream: bool, **fields: object) -> Answer:
    return shop.chat(who, stream=stream, **fields)  # type: ignore[arg-type]


# About the request ----------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_the_provider_says_of_the_request_passes_with_its_status(shop: Shop, status: int, stream: bool) -> None:
    customer = shop.customer()
    with shop.another(priority=-1) as spare:
        shop.upstream.play(failure(status, "messages are too long", code="context_length_exceeded"))
        answer = ask(shop, customer, stream)
        assert spare.seen == []
    assert answer.status == status
    assert answer.error["message"] == "messages are too long"
    assert answer.error["code"] == "context_length_exceeded"
    assert answer.headers["x-should-retry"] == "false"
    charge = shop.charge(customer)
    assert (charge.ended, charge.stamp, charge.amount) == ("voided", "caller_refused", 0)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_errors_of_callers_never_take_a_channel_out(shop: Shop, status: int) -> None:
    customer = shop.customer()
    shop.upstream.play(*[failure(status)] * 6)
    for _ in range(6):
        assert shop.chat(customer).status == status
    assert shop.chat(customer).status == 200


def test_what_the_provider_says_is_scrubbed(shop: Shop) -> None:
    said = (
        "Model upstream-words is not open to sk-upstream-1 of org-8fJkL2mN at https://api.internal-provider.com/v1 "
        "(10.1.2.3), account acct_9f8e7d6c"
    )
    shop.upstream.play(failure(400, said))
    answer = shop.chat(shop.customer())
    assert answer.status == 400
    assert "Model words is not open to" in answer.error["message"]
    for secret in SECRETS:
        assert secret.encode() not in answer.body, secret


def test_an_error_that_is_no_json_says_little(shop: Shop) -> None:
    shop.upstream.play(plain_answer(b"<html>nginx at 10.1.2.3</html>", status=400, content_type="text/html"))
    answer = shop.chat(shop.customer())
    assert answer.status == 400
    assert b"nginx" not in answer.body
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.HANG])
def test_a_refusal_whose_words_never_come_is_a_refusal_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, ending: Ending
) -> None:
    monkeypatch.setattr(attempts, "ERROR_BODY_PATIENCE_S", 0.3)
    shop.upstream.play(failure(400, "x" * 500).cut(20, ending))
    answer = shop.chat(shop.customer())
    assert answer.status == 400
    assert answer.error["message"] == "The provider refused the request."


# Rate limits ----------------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("status", [429, 529])
def test_a_rate_limit_moves_on_to_the_next_key(shop: Shop, stream: bool, status: int) -> None:
    customer = shop.customer()
    channel_id = shop.gateway.channel(
        shop.upstream.base_url, models=UPSTREAM_NAMES, secrets=("sk-a", "sk-b", "sk-c"), priority=9
    )
    shop.upstream.play(failure(status), failure(status))
    assert ask(shop, customer, stream).status == 200
    assert {seen.api_key for seen in shop.upstream.seen} == {"sk-a", "sk-b", "sk-c"}
    charge = shop.charge(customer)
    assert [attempt["verdict"] for attempt in charge.attempts] == ["rate_limited", "rate_limited", "answered"]
    assert charge.amount == REPORTED
    remove_channel(shop.gateway, channel_id)


@FORMS
def test_a_rate_limit_everywhere_is_a_429_with_the_time_to_wait(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    shop.upstream.always(failure(429, code="rate_limit_exceeded").with_headers(retry_after="7"))
    answer = ask(shop, customer, stream)
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_exceeded")
    assert answer.headers["retry-after"] == "7"
    assert "x-should-retry" not in answer.headers
    again = ask(shop, customer, stream)
    assert again.status == 429
    assert 5 <= int(again.headers["retry-after"]) <= 7
    assert len(shop.upstream.seen) == 1, "a cooling key is not asked"
    assert {charge.amount for charge in shop.charges(customer)} == {0}


def test_a_key_serves_again_once_it_has_cooled_down(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(failure(429).with_headers(retry_after="1"))
    assert shop.chat(customer).status == 429
    time.sleep(1.1)
    assert shop.chat(customer).status == 200


# Keys that the provider turns away ------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_key_turned_away_never_becomes_the_customers_trouble(shop: Shop, stream: bool, status: int) -> None:
    customer = shop.customer()
    shop.upstream.always(failure(status, "Incorrect API key provided: sk-upstream-1"))
    answer = ask(shop, customer, stream)
    assert (answer.status, answer.error["code"]) == (503, "no_upstream_available")
    assert int(answer.headers["retry-after"]) >= 1
    assert b"sk-upstream" not in answer.body
    assert shop.charge(customer).amount == 0


def test_the_next_key_serves_when_one_is_turned_away(shop: Shop) -> None:
    customer = shop.customer()
    channel_id = shop.gateway.channel(
        shop.upstream.base_url, models=UPSTREAM_NAMES, secrets=("sk-a", "sk-b"), priority=9
    )
    shop.upstream.play(failure(401))
    assert shop.chat(customer).status == 200
    benched = shop.upstream.seen[0].api_key
    for _ in range(3):
        assert shop.chat(customer).status == 200
    assert [seen.api_key for seen in shop.upstream.seen].count(benched) == 1
    remove_channel(shop.gateway, channel_id)


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_a_429_that_says_our_account_is_empty_benches_the_key(shop: Shop, code: str) -> None:
    customer = shop.customer()
    shop.upstream.always(failure(429, "You exceeded your current quota", code=code))
    answer = shop.chat(customer)
    assert (answer.status, answer.error["code"]) == (503, "no_upstream_available")
    assert b"quota" not in answer.body
    assert shop.chat(customer).status == 503
    assert len(shop.upstream.seen) == 1


# Failures -------------------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("script", [failure(500), failure(503), hang_up(), plain_answer(b"no JSON at all")])
def test_a_failure_moves_on_to_the_next_channel(shop: Shop, stream: bool, script: object) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(script)  # type: ignore[arg-type]
        answer = ask(shop, customer, stream)
        assert len(first.seen) == 1
    assert answer.status == 200
    charge = shop.charge(customer)
    assert [attempt["verdict"] for attempt in charge.attempts] == ["failed", "answered"]
    assert (charge.stamp, charge.amount) == ("provider", REPORTED)


def test_a_stream_whose_first_event_is_an_error_moves_on_as_well(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(events([event_of(error_body(500, "overloaded at 10.1.2.3"))]))
        answer = shop.chat(customer, stream=True)
    assert text_of(chunks_of(answer.body)) == "A short answer from upstream."
    assert ends_with_done(answer.body)
    assert b"10.1.2.3" not in answer.body


def test_a_stream_that_ends_before_it_began_moves_on_as_well(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(events([]))
        answer = shop.chat(customer, stream=True)
    assert ends_with_done(answer.body)


def test_a_whole_answer_that_breaks_off_moves_on(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(chat_answer(text="lost " * 100).cut(100))
        answer = shop.chat(customer)
    assert answer.json["choices"][0]["message"]["content"] == "A short answer from upstream."
    assert shop.charge(customer).amount == REPORTED


def test_a_stream_that_has_begun_does_not_begin_again_elsewhere(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(chat_stream(text="one two three").cut(500))
        answer = shop.chat(customer, stream=True)
    assert shop.upstream.seen == []
    assert b"[DONE]" not in answer.body


@FORMS
def test_failures_in_a_row_take_a_channel_out_for_a_while(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(failure(500))
        for _ in range(5):
            assert ask(shop, customer, stream).status == 200
        assert len(first.seen) == 3


@FORMS
def test_streams_that_die_take_a_channel_out_as_well(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    with shop.another(priority=9) as first:
        first.always(chat_stream(text="one two three four").cut(700) if stream else chat_answer().cut(50))
        for _ in range(5):
            ask(shop, customer, stream)
        assert len(first.seen) == 3


def test_what_clients_do_never_takes_a_channel_out(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(*[chat_stream(text="one two three four five", pause_s=0.05)] * 5)
    for _ in range(5):
        with shop.stream(customer) as stream:
            stream.until(b"one")
    assert len(shop.charges(customer)) == 5
    assert shop.chat(customer).status == 200


def test_a_provider_that_does_not_answer_in_time_is_a_504(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, timeouts={"first_byte_s": 0.3}) as first:
        remove_channel(shop.gateway, shop.channel_id)
        first.always(silence())
        answer = shop.chat(customer)
        assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")
        charge = shop.charge(customer)
        assert (charge.stamp, charge.amount) == ("upstream_failed", 0)


def test_a_timeout_moves_on_to_the_next_channel(shop: Shop) -> None:
    customer = shop.customer()
    with shop.another(priority=9, timeouts={"first_byte_s": 0.3}) as first:
        first.always(silence())
        assert shop.chat(customer).status == 200


def test_nobody_listening_is_a_502(shop: Shop) -> None:
    customer = shop.customer()
    channel_id = shop.gateway.channel("http://127.0.0.1:9", models=UPSTREAM_NAMES, priority=9)
    remove_channel(shop.gateway, shop.channel_id)
    answer = shop.chat(customer)
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert b"127.0.0.1" not in answer.body
    remove_channel(shop.gateway, channel_id)


def test_no_channel_at_all_is_a_503(shop: Shop) -> None:
    customer = shop.customer()
    remove_channel(shop.gateway, shop.channel_id)
    answer = shop.chat(customer)
    assert (answer.status, answer.error["code"]) == (503, "no_upstream_available")
    assert "retry-after" in answer.headers
    assert shop.charge(customer).stamp == "no_upstream"


def test_the_tries_of_a_request_end(shop: Shop) -> None:
    customer = shop.customer()
    ids = [shop.gateway.channel(shop.upstream.base_url, models=UPSTREAM_NAMES, priority=9) for _ in range(9)]
    shop.upstream.always(failure(500))
    assert shop.chat(customer).status == 502
    assert len(shop.upstream.seen) == 6
    receipt_attempts = shop.charge(customer).attempts
    assert len(receipt_attempts) == 6
    for channel_id in ids:
        remove_channel(shop.gateway, channel_id)


@FORMS
def test_a_channel_whose_settings_cannot_be_used_is_passed_over(shop: Shop, stream: bool) -> None:
    customer = shop.customer()
    channel_id = shop.gateway.channel(
        shop.upstream.base_url, models=UPSTREAM_NAMES, priority=9, headers={"x-odd": "a\nb"}
    )
    assert ask(shop, customer, stream).status == 200
    remove_channel(shop.gateway, channel_id)


# What reaches whom ----------------------------------------------------------------------------------


def test_headers_of_an_answer_pass_by_a_list(shop: Shop) -> None:
    shop.upstream.play(
        chat_answer().with_headers(
            openai_processing_ms="21",
            openai_organization="org-8fJkL2mN",
            x_ratelimit_limit_requests="10000",
            set_cookie="session=1",
            x_request_id="req_upstream",
            server="secret-server",
        )
    )
    answer = shop.chat(shop.customer())
    assert answer.headers["openai-processing-ms"] == "21"
    assert answer.headers["x-request-id"].startswith("req_0")
    for name in ("openai-organization", "x-ratelimit-limit-requests", "set-cookie", "server"):
        assert name not in answer.headers


def test_headers_of_a_request_that_are_ours_or_name_someone_end_here(shop: Shop) -> None:
    customer = shop.customer()
    given = {
        "cookie": "a=b", "openai-organization": "org-customer", "x-forwarded-for": "192.0.2.1", "x-max-credits": "1",
        "openai-beta": "assistants=v2", "x-unknown": "passes", "user-agent": "customer-app/1",
    }  # fmt: skip
    shop.chat(customer, headers=given)
    (seen,) = shop.upstream.seen
    assert seen.api_key == "sk-upstream-1"
    assert customer.secret not in str(seen.raw_headers)
    for name in ("cookie", "openai-organization", "x-forwarded-for", "x-max-credits"):
        assert name not in seen.headers
    assert (seen.headers["openai-beta"], seen.headers["x-unknown"]) == ("assistants=v2", "passes")
    assert seen.headers["accept-encoding"] == "identity"


def test_nothing_of_a_request_stands_in_the_log(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    customer = shop.customer()
    shop.upstream.play(failure(500, "sk-upstream-1 at https://api.internal-provider.com"), hang_up())
    with shop.another(priority=-1) as spare:
        spare.always(hang_up())
        shop.chat(customer, text="my very private question")
    written = capsys.readouterr()
    logged = written.out + written.err
    assert "upstream failed" in logged
    for secret in (customer.secret, "private question", "sk-upstream-1", "internal-provider", shop.upstream.base_url):
        assert secret not in logged, secret


def test_usage_in_an_error_body_is_not_charged(shop: Shop) -> None:
    customer = shop.customer()
    body = error_body(400, "no") | {"usage": {"prompt_tokens": 5, "completion_tokens": 5}}
    shop.upstream.play(plain_answer(encoded(body), status=400))
    assert shop.chat(customer).status == 400
    assert shop.charge(customer).amount == 0


def test_an_error_with_status_200_is_a_failure(shop: Shop) -> None:
    customer = shop.customer()
    shop.upstream.play(plain_answer(encoded(error_body(500, "inside"))))
    assert shop.chat(customer).status == 502
    assert shop.charge(customer).amount == 0


def test_a_rehearsed_failure_costs_nobody_else_the_sandbox(database: str) -> None:
    with running_gateway(database) as gateway:
        gateway.sandbox()
        rehearsing, other = gateway.customer(), gateway.customer()
        for status in ("401", "429", "500", "500", "500", "500"):
            refused = gateway.post("/v1/chat/completions", rehearsing, chat(), {"x-sandbox": f"status={status}"})
            assert refused.status >= 400
            assert gateway.post("/v1/chat/completions", other, chat()).status == 200
