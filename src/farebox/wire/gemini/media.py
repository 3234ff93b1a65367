"""Upper bounds for what is not text in a Gemini call, by formula, and what has no bound of its own.

Parts enter as they were written; tokens by medium leave, and the bytes of the body that were payload. Nothing is
decoded or downloaded: a bound must hold for every image that could stand behind a reference.

Sources: Google's guides to image, audio and document understanding. An image of more than 384 pixels is cut into
tiles of 258 tokens whose side is its shorter side divided by 1.5, from 256 to 768 pixels, after scaling into 3072 by
3072: at most 24 tiles. Gemini 3 counts 280, 560, 1,120 or 2,240 by the resolution asked for. Sound is 32 tokens a
second.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from farebox.wire.call import ABSENT
from farebox.wire.media import AUDIO_BYTES_PER_TOKEN, FILMS, on_the_web
from farebox.wire.media import IMAGE_TOKENS_MOST as DEAREST_IMAGE

IMAGE_TOKENS_MOST = 24 * 258
_BY_RESOLUTION = {"MEDIA_RESOLUTION_LOW": 280, "MEDIA_RESOLUTION_MEDIUM": 560}

_COUNTED_SOUND = frozenset({"audio/mp3", "audio/mpeg", "audio/wav", "audio/x-wav", "audio/wave"})
"""Formats whose bytes bound their length; others may put an hour of silence into nothing."""


class Blob(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    mime_type: str = ""
    data: msgspec.Raw = ABSENT


class FileReference(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    file_uri: str = ""
    mime_type: str | None = None


class Resolution(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    level: str | None = None


class FunctionResponse(msgspec.Struct, frozen=True, gc=False):
    parts: list[Part] | None = None


class Part(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A part of a content, only what bounds it. Text stays unread."""

    text: msgspec.Raw = ABSENT
    inline_data: Blob | None = None
    file_data: FileReference | None = None
    function_call: msgspec.Raw = ABSENT
    function_response: FunctionResponse | None = None
    executable_code: msgspec.Raw = ABSENT
    code_execution_result: msgspec.Raw = ABSENT
    media_resolution: Resolution | None = None


_TEXT = ("text", "function_call", "executable_code", "code_execution_result")


class MediaBounds:
    """The running sum over all parts of a call."""

    __slots__ = (
        "_image_tokens", "audio_tokens", "dearer_elsewhere", "foreign_file", "image_tokens", "open", "payload_bytes",
    )  # fmt: skip

    def __init__(self, resolution: str | None = None) -> None:
        self._image_tokens = _BY_RESOLUTION.get((resolution or "").upper(), IMAGE_TOKENS_MOST)
        self.image_tokens = 0
        self.dearer_elsewhere = 0
        """What the images can take beyond that at a provider of another dialect."""
        self.audio_tokens = 0
        self.payload_bytes = 0
        """Base64 in the body that is no text."""
        self.open = False
        """Something has no bound of its own."""
        self.foreign_file = False
        """A part refers to a file stored at a provider, whose owner we do not know."""

    def add(self, parts: Sequence[Part]) -> None:
        """Count the parts of one content. A part of no known kind may hold anything, so it is open."""
        for part in parts:
            if part.inline_data is not None:
                self._add_blob(part.inline_data, part.media_resolution)
            elif part.file_data is not None:
                self._add_file(part.file_data, part.media_resolution)
            elif part.function_response is not None:
                self.add(part.function_response.parts or ())
            elif all(getattr(part, name) is ABSENT for name in _TEXT):
                self.open = True

    def _add_blob(self, blob: Blob, resolution: Resolution | None) -> None:
        kind, characters = _plain(blob.mime_type), len(memoryview(blob.data))
        if kind.startswith("text/"):
            return  # its base64 is longer than its text, and stays counted as text
        self.payload_bytes += characters
        if kind.startswith("image/"):
            self._add_image(resolution)
        elif kind in _COUNTED_SOUND:
            self.audio_tokens += characters // AUDIO_BYTES_PER_TOKEN + 1
        else:
            self.open = True

    def _add_file(self, file: FileReference, resolution: Resolution | None) -> None:
        uri = file.file_uri.strip().lower()
        self.foreign_file = self.foreign_file or not on_the_web(uri)
        if _plain(file.mime_type or "").startswith("image/") and not any(name in uri for name in FILMS):
            self._add_image(resolution)
        else:
            self.open = True

    def _add_image(self, resolution: Resolution | None) -> None:
        tokens = self._of_image(resolution)
        self.image_tokens += tokens
        self.dearer_elsewhere += DEAREST_IMAGE - tokens

    def _of_image(self, resolution: Resolution | None) -> int:
        if resolution is None or resolution.level is None:
            return self._image_tokens
        return _BY_RESOLUTION.get(resolution.level.upper(), IMAGE_TOKENS_MOST)


def _plain(mime_type: str) -> str:
    return mime_type.partition(";")[0].strip().lower()
