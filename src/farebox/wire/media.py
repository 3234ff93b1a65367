"""Upper bounds for what is not text: images, audio, documents, by formula.

What enters is the parts of a message as written; what leaves is tokens by meter, the bytes that
were payload rather than text, and whether something has no bound of its own. Nothing is decoded
or downloaded: a bound must hold for every image that could stand behind the reference.

Sources: OpenAI's vision guide (tiles: base + 512-pixel tiles after scaling into 2048 × 2048 with a
768-pixel short side, at most 8; dearest family gpt-4o-mini with 2,833 + 5,667 per tile; patches: at
most 1,536 of 32 × 32, dearest factor 2.46; `original` detail: at most 10,000 patches).
"""

from __future__ import annotations

import msgspec

from farebox.wire.call import ABSENT

IMAGE_TOKENS_LOW = 3_779
"""`detail: low`: the larger of 2,833 (tiles) and 1,536 × 2.46 (patch models ignore `low`)."""
IMAGE_TOKENS_MOST = 48_169
"""Any other detail: 2,833 + 8 × 5,667, which also covers 10,000 patches × 2.46."""
AUDIO_BYTES_PER_TOKEN = 32
"""Base64 characters that make one token at least: 24 bytes; the lowest MP3 rate, 8 kbit/s, at 32 tokens a
second has 31."""

_TEXT_PARTS = frozenset({"text", "refusal", "input_text", "output_text", "thinking", "reasoning"})


class CacheMark(msgspec.Struct, frozen=True, gc=False):
    """Where a prompt cache is to be written; only its lifetime matters for the price."""

    ttl: str | None = None


class ImageReference(msgspec.Struct, frozen=True, gc=False):
    url: msgspec.Raw
    detail: str | None = None


class AudioPayload(msgspec.Struct, frozen=True, gc=False):
    data: msgspec.Raw


class FileReference(msgspec.Struct, frozen=True, gc=False):
    file_data: msgspec.Raw = msgspec.Raw(b'""')
    file_id: str | None = None


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of a message's content, only what bounds it. Text stays unread."""

    type: str
    text: msgspec.Raw = ABSENT
    image_url: ImageReference | str | None = None
    input_audio: AudioPayload | None = None
    file: FileReference | None = None
    file_id: str | None = None
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: CacheMark | None = None


class MediaBounds(msgspec.Struct, gc=False):
    """The running sum over all parts of a call."""

    image_tokens: int = 0
    audio_tokens: int = 0
    payload_bytes: int = 0
    """Base64 in the body that is media, not text."""
    open: bool = False
    """Something has no bound of its own."""
    foreign_file: bool = False
    """A part refers to a file stored at a provider, whose owner we do not know."""
    long_cache: bool = False
    """A cache lifetime of an hour or more was asked for."""

    def add(self, part: Part) -> None:
        """Count one part. A type not known here may hold anything, so it is open."""
        if part.cache_control is not None:
            self.long_cache = self.long_cache or is_long(part.cache_control.ttl)
        if part.prompt_cache_breakpoint is not None:
            self.long_cache = self.long_cache or is_long(part.prompt_cache_breakpoint.ttl)
        if part.type in _TEXT_PARTS:
            return
        if part.type == "image_url" and part.image_url is not None:
            self._add_image(part.image_url)
        elif part.type == "input_audio" and part.input_audio is not None:
            characters = len(memoryview(part.input_audio.data))
            self.payload_bytes += characters
            self.audio_tokens += characters // AUDIO_BYTES_PER_TOKEN + 1
        else:
            self._add_open(part)

    def _add_image(self, image: ImageReference | str) -> None:
        if isinstance(image, str):
            self.image_tokens += IMAGE_TOKENS_MOST
            self.payload_bytes += len(image) if image.startswith("data:") else 0
            return
        self.image_tokens += IMAGE_TOKENS_LOW if image.detail == "low" else IMAGE_TOKENS_MOST
        if bytes(memoryview(image.url)[:6]) == b'"data:':
            self.payload_bytes += len(memoryview(image.url))

    def _add_open(self, part: Part) -> None:
        self.open = True
        self.foreign_file = self.foreign_file or part.file_id is not None
        if part.file is not None:
            self.payload_bytes += len(memoryview(part.file.file_data))
            self.foreign_file = self.foreign_file or part.file.file_id is not None


def is_long(ttl: str | None) -> bool:
    """True for a cache lifetime of an hour or more, as `1h`, `12h` or `24h`."""
    return ttl is not None and ttl.endswith(("h", "d"))
