"""Whole forms: what they hold, that a rewritten one differs in nothing else, and what two readers could read apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.wire.call import Malformed, MalformedCode
from farebox.wire.form import Form, FormDialect, read_form

EDGE = b"edge"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return f'--edge\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--edge--\r\n"


def form(*parts: bytes) -> Form:
    read = read_form(body(*parts), EDGE)
    assert isinstance(read, Form)
    return read


def test_fields_and_files_are_found_by_name() -> None:
    read = form(
        part("model", b"m"), part("file", b"\x00\r\n--edg\xff", "a.wav"), part("tag[]", b"1"), part("tag[]", b"2")
    )
    assert read.text("model") == "m"
    assert read.text("file") is None
    assert [bytes(read.content(each)) for each in read.files("file")] == [b"\x00\r\n--edg\xff"]
    assert list(read.texts("tag[]", "tag")) == ["1", "2"]


@given(content=st.binary(max_size=200), value=st.text(alphabet="abcé-", max_size=20))
def test_only_what_is_written_anew_changes(content: bytes, value: str) -> None:
    file = b"x" + content.replace(b"--edge", b"")
    read = form(part("file", file, "a"), part("model", b"old"), part("prompt", b"p"))
    again = read_form(read.rewritten({"model": value, "seed": "7"}), EDGE)
    assert isinstance(again, Form)
    assert (again.text("model"), again.text("prompt"), again.text("seed")) == (value, "p", "7")
    assert bytes(again.content(again.files("file")[0])) == file
    assert read.rewritten({}) is read.body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"--edge--",
        b"not a form",
        body(part("a", b"1"))[:-6],
        body(part("a", b"1"), part("a", b"2")),
        b"preamble\r\n" + body(part("a", b"1")),
        body(part("a", b"1")) + b"more",
    ],
)
def test_what_is_not_one_whole_form_is_refused(raw: bytes) -> None:
    read = read_form(raw, EDGE)
    assert isinstance(read, Malformed) or (raw == b"--edge--" and not read.parts)


CONTENT_TYPES = [
    ("multipart/form-data; boundary=edge", None),
    ('Multipart/Form-Data; charset=utf-8; boundary="edge"', None),
    ("application/json", MalformedCode.UNSUPPORTED_MEDIA_TYPE),
    ("", MalformedCode.UNSUPPORTED_MEDIA_TYPE),
    ("multipart/form-data", MalformedCode.INVALID_PARAMETER),
    ("multipart/form-data; boundary=edge; boundary*0=x", MalformedCode.INVALID_PARAMETER),
    ("multipart/form-data; boundary=edge; boundary=x", MalformedCode.INVALID_PARAMETER),
]


@pytest.mark.parametrize(("content_type", "code"), CONTENT_TYPES)
def test_only_a_content_type_that_everybody_reads_alike_will_do(content_type: str, code: MalformedCode | None) -> None:
    read = FormDialect().reading([content_type.encode()]).read_form(body(part("a", b"1")))
    assert code is None if isinstance(read, Form) else read.code is code


def test_two_content_types_are_none() -> None:
    read = FormDialect().reading([b"multipart/form-data; boundary=edge"] * 2).read_form(body(part("a", b"1")))
    assert isinstance(read, Malformed)


def test_the_same_form_under_another_boundary_is_the_same_request() -> None:
    def told(boundary: str, content: bytes) -> list[bytes]:
        raw = body(part("a", content)).replace(b"edge", boundary.encode())
        return list(FormDialect().reading([f"multipart/form-data; boundary={boundary}".encode()]).told_apart_by(raw))

    assert told("one", b"1") == told("other", b"1") != told("one", b"2")
