"""Splitting streams into events, wherever they were cut (d39)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.wire.sse import Event, EventTooLarge, SseSplitter

STREAM = (
    b'data: {"a":"\xe2\x80\xa8\xc2\x85\xf0\x9f\x98\x80"}\n\n: ping\n\n'
    b"event: error\r\ndata: 1\r\ndata:2\r\nid: 7\r\n\r\n"
    b"data: cr\r\rdata: lf\n\n\n\ndata: mixed\r\n\ndata:\n\nretry: 5\n\ndata: [DONE]\n\n"
)
EVENTS = [
    ('{"a":"\u2028\x85\U0001f600"}'.encode(), None),
    (b"1\n2", b"error"),
    (b"cr", None),
    (b"lf", None),
    (b"mixed", None),
    (b"", None),
    (b"[DONE]", None),
]


def split(stream: bytes, cuts: list[int]) -> list[Event]:
    splitter = SseSplitter()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    events = [event for start, end in pairwise(edges) for event in splitter.feed(stream[start:end])]
    return events + splitter.end()


@given(st.lists(st.integers(0, 10_000), max_size=30))
def test_d39_any_cut_gives_the_same_events_and_bytes(cuts: list[int]) -> None:
    events = split(STREAM, cuts)
    assert b"".join(event.raw for event in events) == STREAM
    assert [(event.payload, event.name) for event in events if event.payload is not None] == EVENTS


def test_one_byte_at_a_time_is_the_same() -> None:
    events = split(STREAM, list(range(len(STREAM))))
    assert [(event.payload, event.name) for event in events if event.payload is not None] == EVENTS


@given(st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b": c", b"y\xff"])), st.lists(st.integers(0, 999)))
def test_no_byte_is_ever_lost_or_doubled(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    assert b"".join(event.raw for event in split(stream, cuts)) == stream


def test_what_was_left_unfinished_comes_out_at_the_end() -> None:
    splitter = SseSplitter()
    assert splitter.feed(b"data: half") == []
    assert splitter.waiting == 10
    assert [event.payload for event in splitter.end()] == [b"half"]
    assert splitter.end() == []


def test_an_endless_event_is_a_fault() -> None:
    splitter = SseSplitter(max_event_bytes=1000)
    for _ in range(10):
        splitter.feed(b"x" * 100)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x")


def test_a_large_event_in_small_pieces_is_no_quadratic_work() -> None:
    splitter = SseSplitter()
    for _ in range(20_000):
        assert splitter.feed(b"data: " + b"x" * 90) == []
    assert len(splitter.feed(b"\n\n")) == 1


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        (b"data: x\n\n", b"x"),
        (b"data: x\n\ndata: y\n\n", None),
        (b"data: x\ndata: y\n\n", None),
        (b"data: x\r\n\r\n", b"x"),
        (b"data: x\r\n\r\ndata: y\r\n\r\n", None),
        (b"data: x\ry\r\n\r\n", None),
        (b"data: x\n\r\n", None),
        (b"data: x\r\n\n", None),
        (b"data: x\n", None),
        (b": ping\n\n", None),
        (b"", None),
    ],
)
def test_the_short_way_takes_exactly_one_plain_event(data: bytes, payload: bytes | None) -> None:
    assert SseSplitter().whole(data) == payload


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b"event: stop\ndata: x\n\n", (b"stop", b"x")),
        (b"event: \ndata: \n\n", (b"", b"")),
        (b"event: stop\ndata: x\n\nevent: stop\ndata: y\n\n", None),
        (b"event: stop\ndata: x\ndata: y\n\n", None),
        (b"event: stop\ndata: x\r\n\n", None),
        (b"event: stop\ndata: x\n", None),
        (b"event: stop\n\n", None),
        (b"event:stop\ndata: x\n\n", None),
        (b"data: x\n\n", None),
        (b"", None),
    ],
)
def test_the_short_way_of_a_named_event_reads_what_the_long_way_reads(
    data: bytes, event: tuple[bytes, bytes] | None
) -> None:
    assert SseSplitter().whole_named(data) == event
    if event is not None:
        assert [(read.name, read.payload) for read in SseSplitter().feed(data)] == [event]


def test_no_short_way_while_something_waits() -> None:
    splitter = SseSplitter()
    splitter.feed(b"data: x\n")
    assert splitter.whole_named(b"event: stop\ndata: x\n\n") is None
