"""The form of an upload: its file comes out as it arrives, and what is wrong with it is said in the table's words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.admission.refusals import Refusal
from farebox.wire.file_formats import FORMATS, Purpose
from farebox.wire.file_upload import Described, FileForm

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def field(name: str, text: str) -> bytes:
    return f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()


def file(filename: str, content: bytes = b"some content of a file", name: str = "file") -> bytes:
    head = f'--b\r\ncontent-disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


def stays(seconds: str, anchor: str = "created_at") -> bytes:
    return field("expires_after[anchor]", anchor) + field("expires_after[seconds]", seconds)


def read(*parts: bytes, cuts: tuple[int, ...] = (), end: bytes = b"--b--\r\n") -> tuple[bytes, Described | Refusal]:
    """The file's content, and what the form says of it."""
    form, whole = FileForm(b"b"), b"".join(parts) + end
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    content = b""
    for start, stop in pairwise(edges):
        pieces = form.feed(whole[start:stop])
        if isinstance(pieces, Refusal):
            return content, pieces
        content += b"".join(pieces)
    return content, form.end()


def code(*parts: bytes) -> tuple[str, str | None]:
    told = read(*parts)[1]
    assert isinstance(told, Refusal)
    assert told.message.endswith(".")
    return told.code.value, told.param


NOTES = (file("notes.txt"), field("purpose", "user_data"), stays("3600"))


@given(st.permutations(NOTES), st.lists(st.integers(0, 1_000), max_size=12))
def test_the_order_of_the_fields_and_the_cuts_make_no_difference(parts: list[bytes], cuts: list[int]) -> None:
    content, described = read(*parts, cuts=tuple(cuts))
    assert content == b"some content of a file"
    assert described == Described("notes.txt", Purpose.USER_DATA, 3600)


SECONDS, ANCHOR = "expires_after[seconds]", "expires_after[anchor]"
REFUSED = [
    # what is sent                                                     code                      param
    ((field("purpose", "batch"),),                                     "missing_parameter",      "file"),
    ((file("a.jsonl"),),                                               "missing_parameter",      "purpose"),
    ((file("a.jsonl"), field("purpose", "mischief")),                  "invalid_purpose",        "purpose"),
    ((field("purpose", "batch"), file("a.txt")),                       "unsupported_media_type", "file"),
    ((file("a.txt"), field("purpose", "batch")),                       "unsupported_media_type", "file"),
    ((file("a.exe"), field("purpose", "assistants")),                  "unsupported_media_type", "file"),
    ((file("noending"), field("purpose", "user_data")),                "unsupported_media_type", "file"),
    ((file("a.png"), field("purpose", "vision")),                      "unsupported_media_type", "file"),
    ((file("a.webp", b"RIFF1234WAVEabcd"), field("purpose", "vision")), "unsupported_media_type", "file"),
    ((file("a.pdf", PNG), field("purpose", "user_data")),              "unsupported_media_type", "file"),
    ((file("a.txt", b""), field("purpose", "user_data")),              "invalid_parameter",      "file"),
    ((file(""), field("purpose", "user_data")),                        "invalid_parameter",      "file"),
    ((file("x/.."), field("purpose", "user_data")),                    "invalid_parameter",      "file"),
    ((file("x" * 252 + ".txt"), field("purpose", "user_data")),        "invalid_parameter",      "file"),
    ((file("a.txt"), file("b.txt"), field("purpose", "user_data")),    "invalid_parameter",      "file"),
    ((field("purpose", "batch"), field("purpose", "vision")),          "invalid_parameter",      "purpose"),
    ((*NOTES[:2], stays("3599")),                                      "invalid_parameter",      SECONDS),
    ((*NOTES[:2], stays("2592001")),                                   "invalid_parameter",      SECONDS),
    ((*NOTES[:2], stays("1e4")),                                       "invalid_parameter",      SECONDS),
    ((*NOTES[:2], stays("3600", "last_active_at")),                    "invalid_parameter",      ANCHOR),
    ((*NOTES[:2], field("expires_after[seconds]", "3600")),            "invalid_parameter",      ANCHOR),
    ((*NOTES, b"x"),                                                   "invalid_parameter",      "body"),
    ((*NOTES, *[field(f"f{n}", "") for n in range(13)]),               "invalid_parameter",      "body"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "told", "param"), REFUSED)
def test_what_is_wrong_is_said(parts: tuple[bytes, ...], told: str, param: str) -> None:
    assert code(*parts) == (told, param)


def test_a_form_that_stops_early_is_refused() -> None:
    assert isinstance(read(*NOTES, end=b"")[1], Refusal)


def test_what_will_be_refused_need_not_arrive_when_the_purpose_came_first() -> None:
    form = FileForm(b"b")
    assert isinstance(form.feed(field("purpose", "batch") + file("a.txt", b"x" * 100)[:-50]), Refusal)


PATHS = {"a.txt": "a.txt", "/etc/a.txt": "a.txt", r"C:\my files\a.txt": "a.txt", " 日本.txt ": "日本.txt"}


@pytest.mark.parametrize("sent", PATHS)
def test_a_name_is_kept_without_its_path(sent: str) -> None:
    told = read(file(sent), field("purpose", "user_data"))[1]
    assert isinstance(told, Described)
    assert told.filename == PATHS[sent]


def test_fields_that_nobody_asks_for_are_passed_over() -> None:
    assert isinstance(read(*NOTES, field("user", "somebody"), file("x.bin", name="other"))[1], Described)


@pytest.mark.parametrize("purpose", Purpose)
def test_every_purpose_has_formats_in_lower_case(purpose: Purpose) -> None:
    assert FORMATS[purpose]
    assert all(ending == ending.lower().strip(".") for ending in FORMATS[purpose])


@pytest.mark.parametrize("purpose", [Purpose.VISION, Purpose.USER_DATA, Purpose.ASSISTANTS])
def test_an_ending_may_be_written_in_capitals(purpose: Purpose) -> None:
    assert isinstance(read(field("purpose", purpose), file("A.PNG", PNG))[1], Described)
