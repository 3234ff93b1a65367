"""What may be uploaded for what: purposes, the formats each takes, and how a format's bytes begin.

A file's format is what its name ends in. Where a format's bytes begin in a known way, they must: a picture that is
none is refused before it is kept. Nothing else of the content is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Purpose(StrEnum):
    """What a file is for; OpenAI's names."""

    ASSISTANTS = "assistants"
    BATCH = "batch"
    FINE_TUNE = "fine-tune"
    VISION = "vision"
    USER_DATA = "user_data"
    EVALS = "evals"


def _endings(written: str) -> frozenset[str]:
    return frozenset(written.split())


_LINES = _endings("jsonl")
_PICTURES = _endings("gif jpeg jpg png webp")
_DOCUMENTS = _endings(
    "csv doc docx epub htm html json jsonl log markdown md odp ods odt pdf ppt pptx rtf tex tsv txt xls xlsx xml yaml "
    "yml"
)
_SOURCES = _endings(
    "bash bat c cc cpp cs css cxx dart diff ex go h hpp hs ini ipynb java jl js jsx kt less lua m mjs patch php pl ps1 "
    "py r rb rs scala scss sh sql svelte swift toml ts tsx vue zig zsh"
)
_SOUNDS = _endings("aac flac m4a mp3 mp4 mpeg mpga ogg opus wav webm")
_ARCHIVES = _endings("gz pkl tar zip")

FORMATS: Mapping[Purpose, frozenset[str]] = {
    Purpose.BATCH: _LINES,
    Purpose.FINE_TUNE: _LINES,
    Purpose.EVALS: _LINES,
    Purpose.VISION: _PICTURES,
    Purpose.USER_DATA: _DOCUMENTS | _SOURCES | _PICTURES | _SOUNDS,
    Purpose.ASSISTANTS: _DOCUMENTS | _SOURCES | _PICTURES | _ARCHIVES,
}
"""The endings each purpose takes."""

_ZIPPED = (b"PK\x03\x04", b"PK\x05\x06")
_BEGINNINGS: Mapping[str, tuple[bytes, ...]] = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpg": (b"\xff\xd8\xff",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",),
    "pdf": (b"%PDF-",),
    **dict.fromkeys(("docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "zip"), _ZIPPED),
    **dict.fromkeys(("doc", "xls", "ppt"), (b"\xd0\xcf\x11\xe0",)),
    "gz": (b"\x1f\x8b",),
    "rtf": (b"{\\rtf",),
    "wav": (b"RIFF",),
    "flac": (b"fLaC",),
}
BEGINNING_BYTES = 16
"""How much of a file `begins_well` wants to see, or all of it."""


def ending_of(filename: str) -> str:
    """What the name ends in, in lower case, without the dot; empty if there is none."""
    _, dot, ending = filename.rpartition(".")
    return ending.lower() if dot else ""


def begins_well(filename: str, beginning: bytes) -> bool:
    """Whether the first bytes are those of the format the name promises; true where a format has no such mark."""
    marks = _BEGINNINGS.get(ending_of(filename))
    if marks is None or not beginning.startswith(marks):
        return marks is None
    return ending_of(filename) != "webp" or beginning[8:12] == b"WEBP"
