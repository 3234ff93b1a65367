"""The parts of a message's content, both ways: as OpenAI writes them, as the neutral form holds them.

Media stays as it was given: an address, or base64 in a data URL. Nothing is decoded or downloaded.
"""

from __future__ import annotations

import re

import msgspec

from farebox.wire.chat.request import Audio, Block, Document, Image, Refusal, Source, Text, Video

PDF = "application/pdf"
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]+)*;base64,", re.IGNORECASE)
_FORMATS = {"mp3": "audio/mpeg", "mpeg": "audio/mpeg", "x-wav": "audio/wav", "wave": "audio/wav"}
_TYPES_OF_FILES = {
    "pdf": PDF, "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html",
    "json": "application/json",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip


class CacheMark(msgspec.Struct, frozen=True, gc=False):
    ttl: str | None = None


class Address(msgspec.Struct, frozen=True, gc=False):
    """`image_url`, `file_url`, `video_url`: an object with a `url`, or the URL alone."""

    url: str
    detail: str | None = None
    filename: str | None = None


class Sound(msgspec.Struct, frozen=True, gc=False):
    data: str
    format: str | None = None


class File(msgspec.Struct, frozen=True, gc=False):
    file_data: str | None = None
    filename: str | None = None


class Part(msgspec.Struct, frozen=True, gc=False):
    """Any part; which fields it has follows from its type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Address | str | None = None
    file_url: Address | str | None = None
    video_url: Address | str | None = None
    audio_url: Address | str | None = None
    input_audio: Sound | None = None
    file: File | None = None
    cache_control: CacheMark | None = None


def read_part(part: Part) -> Block | None:
    """The block a part stands for; None for a type this dialect does not have, or without its content."""
    match part:
        case Part(type="text", text=str() as text):
            return Text(text, cache_ttl=cache_ttl(part.cache_control))
        case Part(type="refusal", refusal=str() as text):
            return Refusal(text)
        case Part(type="image_url", image_url=Address() | str() as address):
            return Image(_source_at(address), detail=address.detail if isinstance(address, Address) else None)
        case Part(type="input_audio", input_audio=Sound(data=base64, format=form)):
            return Audio(Source(base64=base64, media_type=_media_type(form or "wav")))
        case Part(type="file", file=File(file_data=str() as content, filename=name)):
            return Document(_source_of_file(content, name), name=name)
        case Part(type="file_url", file_url=Address() | str() as address):
            return Document(_source_at(address), name=address.filename if isinstance(address, Address) else None)
        case Part(type="video_url", video_url=Address() | str() as address):
            return Video(_source_at(address))
        case Part(type="audio_url", audio_url=Address() | str() as address):
            return Audio(_source_at(address))
        case _:
            return None


def cache_ttl(mark: CacheMark | None) -> str | None:
    """The lifetime a cache mark asks for; without one it is five minutes."""
    return None if mark is None else mark.ttl or "5m"


def write_part(block: Block) -> dict[str, object] | None:
    """The part for a block; None for what stands elsewhere in a message (tool calls, reasoning)."""
    match block:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case Image(source=source, detail=detail):
            address = {"url": url_of(source, "image/png")}
            return {"type": "image_url", "image_url": address | ({"detail": detail} if detail else {})}
        case Document(source=source, name=name):
            return _written_document(source, name)
        case Video(source=source):
            return {"type": "video_url", "video_url": {"url": url_of(source, "video/mp4")}}
        case Audio(source=Source(base64=str() as base64) as source):
            return {"type": "input_audio", "input_audio": {"data": base64, "format": _format(source.media_type)}}
        case Audio(source=source):
            return {"type": "audio_url", "audio_url": {"url": source.url or ""}}
        case _:
            return None


def url_of(source: Source, usual_type: str) -> str:
    """Where a medium is: its address, or its bytes as a data URL, of the usual type if none was stated."""
    if source.url is not None:
        return source.url
    return f"data:{source.media_type or usual_type};base64,{source.base64 or ''}"


def source_from(url: str) -> Source:
    """An address; a data URL gives up its base64 and its type."""
    match = _DATA_URL.match(url)
    if match is None:
        return Source(url=url)
    return Source(base64=url[match.end() :], media_type=match.group(1).lower() or None)


def _source_at(address: Address | str) -> Source:
    return source_from(address if isinstance(address, str) else address.url)


def _source_of_file(content: str, name: str | None) -> Source:
    """A data URL by the public format; some clients send bare base64, others an address."""
    if content.startswith(("data:", "http://", "https://")):
        return source_from(content)
    ending = (name or "").rpartition(".")[2].lower()
    return Source(base64=content, media_type=_TYPES_OF_FILES.get(ending, PDF))


def _written_document(source: Source, name: str | None) -> dict[str, object]:
    if source.text is not None:
        return {"type": "text", "text": source.text}
    if source.url is not None:
        return {"type": "file_url", "file_url": {"url": source.url} | ({"filename": name} if name else {})}
    return {"type": "file", "file": {"filename": name or "document.pdf", "file_data": url_of(source, PDF)}}


def _media_type(form: str) -> str:
    return _FORMATS.get(form, f"audio/{form}")


def _format(media_type: str | None) -> str:
    kind = (media_type or "audio/wav").rpartition("/")[2]
    written = _FORMATS.get(kind, f"audio/{kind}").rpartition("/")[2]
    return "mp3" if written == "mpeg" else written
