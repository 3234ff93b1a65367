"""Forms are read the same however they are cut, and what two readers could read differently is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.wire.call import Malformed
from farebox.wire.multipart import LIMITS, Limits, MultipartReader, PartEnd, PartHead, boundary_of

Part = tuple[PartHead, bytes]

FORM = (
    b'--b0\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b'--b0\r\ncontent-disposition: form-data; name="file"; filename="na\xc3\xafve \\"x\\".txt"\r\n'
    b"Content-Type: Text/Plain; charset=utf-8\r\n\r\n"
    b"\r\n--b\r\n--b1 is content\r\r\n-\r\n\r\n"
    b'--b0\r\nContent-Disposition: form-data; name="empty"; filename=""\r\n\r\n\r\n'
    b"--b0--\r\n"
)
PARTS = [
    (PartHead("purpose"), b"user_data"),
    (PartHead("file", 'naïve "x".txt', "text/plain"), b"\r\n--b\r\n--b1 is content\r\r\n-\r\n"),
    (PartHead("empty", ""), b""),
]


def read(form: bytes, *cuts: int, boundary: bytes = b"b0", limits: Limits = LIMITS) -> list[Part] | str:
    """The parts, or what is wrong."""
    reader = MultipartReader(boundary, limits)
    edges = [0, *sorted(cut % (len(form) + 1) for cut in cuts), len(form)]
    parts: list[Part] = []
    head = PartHead("")
    content: list[bytes] | None = None
    for start, end in pairwise(edges):
        events = reader.feed(form[start:end])
        if isinstance(events, Malformed):
            return events.message
        for event in events:
            if isinstance(event, PartHead):
                assert content is None
                head, content = event, []
            elif isinstance(event, PartEnd):
                parts.append((head, b"".join(content or [])))
                content = None
            else:
                assert event, "no piece is empty"
                assert content is not None
                content.append(event)
    trouble = reader.end()
    return parts if trouble is None else trouble.message


def part(head: str, content: bytes = b"x", *, end: bytes = b"\r\n--b0--\r\n") -> bytes:
    return b"--b0\r\n" + head.encode() + b"\r\n\r\n" + content + end


def test_a_form_is_its_parts() -> None:
    assert read(FORM) == PARTS


@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_any_cut_gives_the_same_parts(cuts: list[int]) -> None:
    assert read(FORM, *cuts) == PARTS


def test_one_byte_at_a_time_is_the_same() -> None:
    assert read(FORM, *range(len(FORM))) == PARTS


@given(
    st.lists(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n--b", b"-", b"--b0", b"x", b"\xff\0"])).map(b"".join)),
    st.lists(st.integers(0, 10_000), max_size=20),
)
def test_content_comes_out_as_it_went_in(contents: list[bytes], cuts: list[int]) -> None:
    contents = [content for content in contents if b"\r\n--b0" not in b"\r\n" + content]
    head = b'--b0\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n'
    form = b"".join(head + content + b"\r\n" for content in contents) + b"--b0--"
    assert read(form, *cuts) == [(PartHead("f", "f"), content) for content in contents]


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=8))
def test_whatever_arrives_the_cuts_make_no_difference(noise: bytes, cuts: list[int]) -> None:
    form = FORM[:60] + noise + FORM[60:]
    assert read(form, *cuts) == read(form)


@given(st.integers(0, len(FORM) - 3))
def test_a_form_that_stops_early_is_not_whole(length: int) -> None:
    assert isinstance(read(FORM[:length]), str)


def test_the_last_line_end_may_be_missing() -> None:
    assert read(FORM[:-2]) == PARTS


NAMED = 'content-disposition: form-data; name="a"'
MALFORMED = [
    # what is wrong                    the form
    ("begins with something",          b"hello" + FORM),
    ("begins with a line end",         b"\r\n" + FORM),
    ("goes on after its end",          FORM + b"x"),
    ("has another boundary",           FORM.replace(b"--b0", b"--c0")),
    ("a boundary and something",       part(NAMED, end=b"\r\n--b0 x\r\n--b0--")),
    ("a boundary inside",              part(NAMED, b"a\r\n--b01", end=b"\r\n--b0--")),
    ("bare line feeds",                FORM.replace(b"\r\n", b"\n")),
    ("no headers",                     part("x")),
    ("no disposition",                 part("content-type: text/plain")),
    ("another disposition",            part('content-disposition: attachment; name="a"')),
    ("no name",                        part("content-disposition: form-data")),
    ("two names",                      part(NAMED + "; name=b")),
    ("two dispositions",               part(f"{NAMED}\r\n{NAMED}")),
    ("an open quote",                  part('content-disposition: form-data; name="a')),
    ("a folded header",                part(f"{NAMED};\r\n filename=b")),
    ("a blank before the colon",       part(f"{NAMED}\r\ncontent-type : a/b")),
    ("a line feed in a header",        part(f"{NAMED}\r\nx: a\nb: c")),
    ("NUL in a name",                  part('content-disposition: form-data; name="a\0"')),
    ("a line break, as browsers do",   part('content-disposition: form-data; name="a%0D%0Ab"')),
    ("an encoding",                    part(f"{NAMED}\r\ncontent-transfer-encoding: base64")),
    ("a head that is not UTF-8",       part(NAMED).replace(b'"a"', b'"\xff"')),
]  # fmt: skip


@pytest.mark.parametrize("form", [form for _, form in MALFORMED], ids=[name for name, _ in MALFORMED])
def test_what_is_wrong_is_said(form: bytes) -> None:
    told = read(form)
    assert isinstance(told, str)
    assert told.endswith(".")
    assert read(form, *range(len(form))) == told, "however it was cut"


def test_limits_hold() -> None:
    limits = Limits(parts=2, head_bytes=60, field_bytes=10)
    field, named_file = NAMED, 'content-disposition: form-data; name="a"; filename="b"'
    assert read(part(field, b"x" * 10), limits=limits) == [(PartHead("a"), b"x" * 10)]
    assert "10 bytes" in str(read(part(field, b"x" * 11), limits=limits))
    assert read(part(named_file, b"x" * 99), limits=limits) == [(PartHead("a", "b"), b"x" * 99)], "a file is no field"
    assert "2 parts" in str(read(part(field, end=b"\r\n") * 2 + part(field), limits=limits))
    long = f"{field}\r\nx: {'y' * 60}"
    assert "60 bytes" in str(read(part(long), limits=limits))
    assert "60 bytes" in str(read(part(long)[:90], limits=limits)), "before the end of the head has come"


def test_a_delimiter_that_never_comes_is_not_kept() -> None:
    reader = MultipartReader(b"b0")
    reader.feed(part('content-disposition: form-data; name="a"; filename="b"', b"", end=b""))
    given = [reader.feed(b"\r\n--b" * 1000) for _ in range(50)]
    assert (
        sum(len(event) for events in given if isinstance(events, list) for event in events if isinstance(event, bytes))
        > 50 * 5000 - 10
    )


FILE_NAMES = [
    # written                                   meant
    ('filename="a.txt"',                        "a.txt"),
    ("filename=a.txt",                          "a.txt"),
    ('FileName = "a.txt"',                      "a.txt"),
    ('filename="a;b.txt"',                      "a;b.txt"),
    (r'filename="a\"b.txt"',                    'a"b.txt'),
    (r'filename="C:\files\b.txt"',              r"C:\files\b.txt"),
    ('filename="a%22b.txt"',                    'a"b.txt'),
    ('filename="50%25.txt"',                    "50%25.txt"),
    ('filename="日本.txt"',                      "日本.txt"),
    ("filename*=UTF-8''%E6%97%A5%20x.txt",      "日 x.txt"),
    ("filename=x; filename*=utf-8''y.txt",      "y.txt"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), FILE_NAMES)
def test_file_names_are_read_as_clients_write_them(written: str, meant: str) -> None:
    read_parts = read(part(f"content-disposition: form-data; name=a; {written}"))
    assert read_parts == [(PartHead("a", meant), b"x")]


BOUNDARIES = [
    ("multipart/form-data; boundary=abc", b"abc"),
    ('Multipart/Form-Data; charset=utf-8; boundary="a b?"', b"a b?"),
    ("multipart/form-data;boundary=----WebKitFormBoundary7MA4YWxk", b"----WebKitFormBoundary7MA4YWxk"),
    ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
    ("application/json", None),
    ("multipart/mixed; boundary=abc", None),
    ("", None),
]


@pytest.mark.parametrize(("content_type", "boundary"), BOUNDARIES)
def test_the_boundary_is_in_the_content_type(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "parameters", ["", "; boundary=", "; boundary=" + "x" * 71, '; boundary="a\r\nb"', "; boundary=ä"]
)
def test_a_form_without_a_usable_boundary_is_malformed(parameters: str) -> None:
    assert isinstance(boundary_of("multipart/form-data" + parameters), Malformed)
