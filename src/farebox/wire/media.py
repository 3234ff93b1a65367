"""Upper bounds for what is not text: images, audio, documents, by formula.

What enters is the parts of a message as written; what leaves is tokens by meter, the bytes that
were payload rather than text, and whether something has no bound of its own. Nothing is decoded
or downloaded: a bound must hold for every image that could stand behind the reference.

Sources: OpenAI's vision guide (tiles: base + 512-pixel tiles after scaling into 2048 × 2048 with a
768-pixel short side, at most 8; dearest family gpt-4o-mini with 2,833 + 5,667 per tile; patches: at
most 1,536 of 32 × 32, dearest factor 2.46; `original` detail: at most 10,000 patches).
"""

from __future__ import annotations

import re

import msgspec

from farebox.wire.call import ABSENT

IMAGE_TOKENS_LOW = 24 * 258
"""`detail: low`: 2,833 (tiles), 1,536 × 2.46 (patch models ignore `low`), or 24 tiles of 258 at Google, who is not
told of it."""
IMAGE_TOKENS_MOST = 48_169
"""Any other detail: 2,833 + 8 × 5,667, which also covers 10,000 patches × 2.46."""
AUDIO_BYTES_PER_TOKEN = 32
"""Base64 characters that make one token at least: 24 bytes; the lowest MP3 rate, 8 kbit/s, at 32 tokens a
second has 31."""

FILMS = ("youtube.com/", "youtu.be/")
"""Addresses that are films to Google, whatever they are said to be."""
_PROVIDER = "generativelanguage.googleapis.com"
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*:", re.IGNORECASE)
_COUNTED_SOUND = frozenset({None, "wav", "x-wav", "wave", "mp3", "mpeg"})
"""Formats whose bytes bound their length; others may put an hour of silence into nothing."""
_HEAD = 2_048
"""Characters of an address that are looked at: more than any has."""
_read_text = msgspec.json.Decoder(str).decode
_TEXT_PARTS = frozenset({"text", "refusal", "input_text", "output_text", "thinking", "reasoning"})


class CacheMark(msgspec.Struct, frozen=True, gc=False):
    """Where a prompt cache is to be written; only its lifetime matters for the price."""

    ttl: str | None = None


class ImageReference(msgspec.Struct, frozen=True, gc=False):
    url: msgspec.Raw
    detail: str | None = None


class AudioPayload(msgspec.Struct, frozen=True, gc=False):
    data: msgspec.Raw
    format: str | None = None


class FileReference(msgspec.Struct, frozen=True, gc=False):
    file_data: msgspec.Raw = msgspec.Raw(b'""')
    file_id: str | None = None


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of a message's content, only what bounds it. Text stays unread."""

    type: str
    text: msgspec.Raw = ABSENT
    image_url: ImageReference | str | None = None
    video_url: ImageReference | str | None = None
    audio_url: ImageReference | str | None = None
    file_url: ImageReference | str | None = None
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
            self._add_sound(part.input_audio)
        else:
            self._add_open(part)

    def _add_image(self, image: ImageReference | str) -> None:
        detail = None if isinstance(image, str) else image.detail
        self.image_tokens += IMAGE_TOKENS_LOW if detail == "low" else IMAGE_TOKENS_MOST
        address = _address(image)
        self.foreign_file = self.foreign_file or is_stored(address)
        if address.startswith("data:"):
            self.payload_bytes += len(image) if isinstance(image, str) else len(memoryview(image.url))
            self.open = self.open or not address.startswith("data:image/")
        else:
            self.open = self.open or any(name in address for name in FILMS)

    def _add_sound(self, sound: AudioPayload) -> None:
        characters = len(memoryview(sound.data))
        self.payload_bytes += characters
        self.audio_tokens += characters // AUDIO_BYTES_PER_TOKEN + 1
        self.open = self.open or sound.format not in _COUNTED_SOUND

    def _add_open(self, part: Part) -> None:
        self.open = True
        self.foreign_file = self.foreign_file or part.file_id is not None
        for medium in (part.image_url, part.video_url, part.audio_url, part.file_url):
            self.foreign_file = self.foreign_file or (medium is not None and is_stored(_address(medium)))
        if part.file is not None:
            self.payload_bytes += len(memoryview(part.file.file_data))
            self.foreign_file = self.foreign_file or part.file.file_id is not None


def on_the_web(address: str) -> bool:
    """True for an address that anybody could fetch: not a provider's own files, nor buckets."""
    lowered = address.lower()
    return lowered.startswith(("http://", "https://")) and _PROVIDER not in lowered


def is_stored(address: str) -> bool:
    """True for an address that is neither on the web nor the medium itself: whose it is, nobody here knows."""
    return _SCHEME.match(address) is not None and not address.lower().startswith("data:") and not on_the_web(address)


def _address(medium: ImageReference | str) -> str:
    """Where a medium is, in small letters; of a data URL its beginning."""
    if isinstance(medium, str):
        return medium[:_HEAD].strip().lower()
    head = bytes(memoryview(medium.url)[1 : _HEAD + 1])
    if b"\\" in head:  # letters may be escaped, and some clients escape each slash
        try:
            return _read_text(medium.url)[:_HEAD].strip().lower()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ""
    return head.decode(errors="replace").strip().lower()


def is_long(ttl: str | None) -> bool:
    """True for a cache lifetime of an hour or more, as `1h`, `12h` or `24h`."""
    return ttl is not None and ttl.endswith(("h", "d"))
