"""Reads the form of `POST /v1/files` as it arrives: the file's bytes out at once, the rest judged at its end.

Enters: pieces of the body. Leaves: pieces of the file's content, then a `Described` file, or the refusal. The order
of the fields is the client's, so what the file is for may come after it. Content is never kept here.
"""

from __future__ import annotations

import re

import msgspec

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.wire.call import Malformed
from farebox.wire.file_formats import BEGINNING_BYTES, FORMATS, Purpose, begins_well, ending_of
from farebox.wire.multipart import Limits, MultipartReader, PartEnd, PartHead

MOST_PARTS = 16
OVERHEAD_BYTES = 64 * 1024
"""The most a form takes beside its file, in practice: what is longer than this and its limit holds too long a file."""
LONGEST_NAME = 255
SHORTEST_STAY_S, LONGEST_STAY_S = 3_600, 30 * 24 * 3_600
"""How long after its creation a file may be made to expire; OpenAI's bounds."""

_LIMITS = Limits(parts=MOST_PARTS, field_bytes=1024)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")


class Described(msgspec.Struct, frozen=True):
    """What a form says of its file."""

    filename: str
    """Without any path."""
    purpose: Purpose
    expires_after_s: int | None = None
    """From its creation; None: it stays until it is deleted."""


class FileForm:
    """One form. `feed` what arrives, then `end`; after a refusal it takes nothing more."""

    def __init__(self, boundary: bytes) -> None:
        self._reader = MultipartReader(boundary, _LIMITS)
        self._fields: dict[str, str] = {}
        self._head: PartHead | None = None
        self._text = b""
        self._filename: str | None = None
        self._beginning = b""
        self._refusal: Refusal | None = None

    def feed(self, piece: bytes) -> list[bytes] | Refusal:
        """The pieces of the file in this piece of the form."""
        events = self._reader.feed(piece)
        if isinstance(events, Malformed):
            return _refusal(events.message, events.param)
        content: list[bytes] = []
        for event in events:
            if isinstance(event, PartHead):
                self._begin(event)
            elif isinstance(event, PartEnd):
                self._finish()
            elif self._is_file:
                self._see(event)
                content.append(event)
            else:
                self._text += event
        return content if self._refusal is None else self._refusal

    def end(self) -> Described | Refusal:
        """The form has ended."""
        trouble = self._reader.end()
        if trouble is not None:
            return _refusal(trouble.message, trouble.param)
        return self._refusal or self._described()

    @property
    def _is_file(self) -> bool:
        return self._head is not None and self._head.name == "file"

    def _begin(self, head: PartHead) -> None:
        self._head, self._text = head, b""
        if head.name != "file":
            if head.name in self._fields:
                self._refusal = _refusal(f"The field {_shown(head.name)} is given twice.", _shown(head.name))
        elif self._filename is not None:
            self._refusal = _refusal("There is more than one file. Upload one at a time.", "file")
        else:
            self._filename = _plain(head.filename or "")
            if not self._filename:
                self._refusal = _refusal("The part `file` has no file name of 1 to 255 characters.", "file")

    def _finish(self) -> None:
        if self._head is not None and not self._is_file:
            self._fields[self._head.name] = self._text.decode("utf-8", errors="replace")

    def _see(self, content: bytes) -> None:
        if len(self._beginning) < BEGINNING_BYTES:
            self._beginning += content[: BEGINNING_BYTES - len(self._beginning)]
            if len(self._beginning) == BEGINNING_BYTES and "purpose" in self._fields:
                judged = self._judged()  # a client that says the purpose first need not send what will be refused
                self._refusal = judged if isinstance(judged, Refusal) else self._refusal

    def _described(self) -> Described | Refusal:
        if self._filename is None:
            return _missing("file")
        if not self._beginning:
            return _refusal("The file is empty.", "file")
        purpose, stay = self._judged(), _stay_of(self._fields)
        if isinstance(purpose, Refusal):
            return purpose
        return stay if isinstance(stay, Refusal) else Described(self._filename, purpose, stay)

    def _judged(self) -> Purpose | Refusal:
        """The purpose, if it is one and the file is fit for it."""
        purpose = _purpose_of(self._fields)
        if isinstance(purpose, Refusal):
            return purpose
        return _wrong_format(self._filename or "", purpose, self._beginning) or purpose


def _purpose_of(fields: dict[str, str]) -> Purpose | Refusal:
    purpose = fields.get("purpose")
    if purpose is None:
        return _missing("purpose")
    if purpose in set(Purpose):
        return Purpose(purpose)
    known = ", ".join(each.value for each in Purpose)
    return Refusal(RefusalCode.INVALID_PURPOSE, f"This is no purpose of a file. There are {known}.", "purpose")


def _wrong_format(filename: str, purpose: Purpose, beginning: bytes) -> Refusal | None:
    ending = ending_of(filename)
    if ending not in FORMATS[purpose]:
        formats = ", ".join(f".{each}" for each in sorted(FORMATS[purpose]))
        message = f"A file for {purpose.value} cannot have this format. Its name ends in one of {formats}."
    elif not begins_well(filename, beginning):
        message = f"The content of this file is not that of a .{ending} file."
    else:
        return None
    return Refusal(RefusalCode.UNSUPPORTED_MEDIA_TYPE, message, "file")


def _stay_of(fields: dict[str, str]) -> int | Refusal | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        return _refusal("expires_after[anchor] is created_at, and nothing else.", "expires_after[anchor]")
    if seconds is None or not _WHOLE_NUMBER.fullmatch(seconds) or not _is_a_stay(int(seconds)):
        message = f"expires_after[seconds] is a whole number from {SHORTEST_STAY_S} to {LONGEST_STAY_S}."
        return _refusal(message, "expires_after[seconds]")
    return int(seconds)


def _is_a_stay(seconds: int) -> bool:
    return SHORTEST_STAY_S <= seconds <= LONGEST_STAY_S


def _plain(filename: str) -> str:
    """The name alone, whatever path came before it; empty if it cannot be used."""
    name = re.split(r"[/\\]", filename)[-1].strip()
    usable = 0 < len(name) <= LONGEST_NAME and name not in (".", "..")
    return name if usable else ""


def _shown(name: str) -> str:
    return name[:64]


def _missing(name: str) -> Refusal:
    return Refusal(RefusalCode.MISSING_PARAMETER, f"The form has no field `{name}`.", name)


def _refusal(message: str, param: str | None) -> Refusal:
    return Refusal(RefusalCode.INVALID_PARAMETER, message, param)
