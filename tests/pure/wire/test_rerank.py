"""Reranking and moderations: bounds for searches and tokens, and which of the two a card counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.pure.wire.bodies import written

from farebox.tariff.meters import Meter
from farebox.wire import openai_moderations
from farebox.wire.call import Call
from farebox.wire.media import IMAGE_TOKENS_MOST
from farebox.wire.rerank import parse, read_answer, text_of, tokens_beside_text

BY_SEARCH, BY_TOKENS, BY_BOTH = {Meter.SEARCHES}, {Meter.INPUT}, {Meter.SEARCHES, Meter.INPUT}


def call(**fields: Any) -> Call:
    read = parse(written({"model": "m", "query": "which?", "documents": ["a", "b"]} | fields))
    assert isinstance(read, Call), read
    return read


SEARCHES = [
    # documents                counted  held
    (["a"], 1, 1),
    (["a"] * 100, 1, 2),
    (["a"] * 101, 2, 2),
    (["x" * 24_400], 1, 2),
]


@pytest.mark.parametrize(("documents", "counted", "held"), SEARCHES)
def test_a_search_for_each_hundred_documents_and_long_ones_may_count_more_often(
    documents: list[str], counted: int, held: int
) -> None:
    sold = call(documents=documents).sold_by(BY_SEARCH)
    assert sold.units == ((Meter.SEARCHES, counted),)
    assert sold.at_most[Meter.SEARCHES] == held
    assert (sold.input_most, sold.at_most[Meter.INPUT], text_of(sold), tokens_beside_text(sold)) == (0, 0, "", 0)


def test_by_tokens_the_query_counts_once_for_each_document() -> None:
    sold = call(documents=["ab"] * 1000).sold_by(BY_TOKENS)
    assert (sold.units, sold.at_most[Meter.SEARCHES]) == ((), 0)
    assert Meter.INPUT not in sold.at_most
    assert text_of(sold).count("which?") == 1000
    assert sold.input_most is not None
    assert sold.input_most > len("which?ab") * 1000


def test_a_card_that_prices_both_counts_both_and_one_that_prices_neither_is_left_to_refuse() -> None:
    assert call().sold_by(BY_BOTH) == call()
    assert call().sold_by(set()) == call()


STATED: list[tuple[set[Meter], dict[str, Any], dict[str, int] | None]] = [
    (BY_SEARCH, {"meta": {"billed_units": {"search_units": 1}}}, {"search_units": 1}),
    (BY_SEARCH, {"meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 5}}}, {"search_units": 1}),
    (BY_SEARCH, {"usage": {"total_tokens": 5}}, None),
    (BY_TOKENS, {"usage": {"total_tokens": 5}}, {"input_tokens": 5}),
    (BY_TOKENS, {"meta": {"billed_units": {"search_units": 1}}}, None),
    (BY_BOTH, {"meta": {"billed_units": {"search_units": 1}}}, None),
    (BY_TOKENS, {}, None),
    (BY_TOKENS, {"usage": 5, "meta": []}, None),
]


@pytest.mark.parametrize(("priced", "stated", "counted"), STATED)
def test_figures_count_where_the_card_prices_them(
    priced: set[Meter], stated: dict[str, Any], counted: dict[str, int] | None
) -> None:
    read = read_answer(written({"results": [{"index": 0}], "model": "up"} | stated), call().sold_by(priced))
    assert read is not None
    assert (None if read.usage is None else json.loads(bytes(read.usage))) == counted
    assert b'"model":"m"' in read.body


@pytest.mark.parametrize("body", [b"", b"{}", b'{"results":null}', b'{"error":{},"results":[]}', b"[1]"])
def test_what_is_no_ranking_is_none(body: bytes) -> None:
    assert read_answer(body, call()) is None


def test_a_moderation_may_name_no_model_and_hold_images() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000}}
    read = openai_moderations.parse(written({"input": [{"type": "text", "text": "x"}, image]}))
    assert isinstance(read, Call)
    assert (read.model, read.has_output, read.media_tokens) == ("omni-moderation-latest", False, IMAGE_TOKENS_MOST)
    assert read.input_bytes < 1_000
