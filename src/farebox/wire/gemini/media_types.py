"""Media of the neutral form as Google's parts, and back: by what their type says they are.

An address tells its type by its ending where the caller did not; a type that only says so again is not kept.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from farebox.wire.chat.request import Audio, Document, Image, Source, Text, Video
from farebox.wire.media import FILMS

PDF = "application/pdf"
_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "heic": "image/heic", "heif": "image/heif", "pdf": PDF, "txt": "text/plain", "csv": "text/csv",
    "html": "text/html", "md": "text/markdown", "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
    "mp3": "audio/mpeg", "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "aac": "audio/aac",
}  # fmt: skip
_USUAL = {Image: "image/jpeg", Document: PDF, Audio: "audio/wav", Video: "video/mp4"}

Medium = Image | Document | Audio | Video


class InlinePart(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    mime_type: str = ""
    data: str = ""


class FilePart(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    file_uri: str = ""
    mime_type: str | None = None


def write_medium(block: Medium) -> dict[str, object]:
    """The part for a medium. Plain text is a text part."""
    source, usual = block.source, _USUAL[type(block)]
    if source.text is not None:
        return {"text": source.text}
    if source.url is not None:
        kind = source.media_type or _type_of(source.url, type(block)) or usual
        return {"fileData": {"mimeType": kind, "fileUri": source.url}}
    return {"inlineData": {"mimeType": source.media_type or usual, "data": source.base64 or ""}}


def read_inline(part: InlinePart) -> Medium | Text:
    """Bytes in the body; text files are text."""
    kind = part.mime_type.lower()
    if kind.startswith("text/"):
        return Document(Source(text=_decoded(part.data), media_type=part.mime_type))
    return _of_type(kind)(Source(base64=part.data, media_type=part.mime_type or None))


def read_file(part: FilePart) -> Medium:
    """Something at an address."""
    guessed = _type_of(part.file_uri)
    kind = part.mime_type or guessed or ("video/mp4" if any(name in part.file_uri for name in FILMS) else PDF)
    stated = None if part.mime_type == guessed else part.mime_type
    return _of_type(kind.lower())(Source(url=part.file_uri, media_type=stated))


def _of_type(kind: str) -> type[Medium]:
    for start, made in (("image/", Image), ("audio/", Audio), ("video/", Video)):
        if kind.startswith(start):
            return made
    return Document


def _type_of(url: str, medium: type[Medium] | None = None) -> str | None:
    """By its ending. What was bounded as an image is no film because it is called one."""
    kind = _TYPES.get(url.partition("?")[0].rpartition(".")[2].lower())
    return None if kind is None or (medium is Image and _of_type(kind) is not Image) else kind


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, altchars=b"-_").decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""
