"""Composes the sandbox's images: real PNG files of the size asked for, each of one colour, by a hash of the request.

A `Call` and a `Script` enter, the body of an answer or the events of a stream leave. The files are small whatever their
size, because all their pixels are the same. Usage is told for models whose names begin with `gpt-image`, as at OpenAI;
others are priced by the image.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from farebox.upstream.sandbox_script import Script, UsageShape
from farebox.upstream.sandbox_words import count_tokens
from farebox.wire.call import Call, text_field
from farebox.wire.dialect import Dialect
from farebox.wire.images.canvas import PARTIAL_TOKENS, Canvas, read_canvas

CREATED = 1_700_000_000
_BY_TOKENS = "gpt-image"
_SQUARE = 1024
_PLAIN_QUALITIES = {"standard": "medium", "auto": "medium", "hd": "high"}
_TOKENS = {"low": 272, "medium": 1_056, "high": 4_160}
"""Of a square image, as at OpenAI."""


def png(width: int, height: int, colour: bytes) -> bytes:
    """A PNG of one colour, given as three bytes."""
    row = bytes(1 + (width + 7) // 8)  # one bit for each pixel: all of them are the palette's first colour
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    chunks = (b"IHDR", head), (b"PLTE", colour), (b"IDAT", zlib.compress(row * height, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join([_chunk(kind, content) for kind, content in chunks])


def answer(dialect: Dialect, call: Call, script: Script) -> bytes:
    """The body of a buffered answer."""
    count = 0 if script.empty else call.choices
    images = [{"b64_json": _image(call, index)} for index in range(count)]
    body: dict[str, Any] = {"created": CREATED, "data": images}
    usage = _usage(dialect, call, script, images=count)
    return msgspec.json.encode(body | _described(call) | ({} if usage is None else {"usage": usage}))


def events(dialect: Dialect, call: Call, script: Script) -> Iterator[bytes]:
    """The events of a stream, up to a cut or an error event if the script has one."""
    kind = "image_edit" if "edit" in dialect.name else "image_generation"
    partial = _partial_images(call)
    stop = script.cut if script.cut is not None else script.error_event
    shown = partial if stop is None else min(stop, partial)
    for index in range(shown):
        drawn = {"b64_json": _image(call, index + 1), "partial_image_index": index}
        yield _event(f"{kind}.partial_image", {**drawn, "created_at": CREATED, **_described(call)})
    if script.cut is not None:
        return
    if script.error_event is not None:
        yield b'event: error\ndata: {"type":"error","error":{"message":"The sandbox fails as it was asked to."}}\n\n'
        return
    done: dict[str, Any] = {} if script.empty else {"b64_json": _image(call, 0)}
    usage = _usage(dialect, call, script, images=0 if script.empty else 1)
    done |= {"created_at": CREATED, **_described(call)} | ({} if usage is None else {"usage": usage})
    yield _event(f"{kind}.completed", done)


def _image(call: Call, index: int) -> str:
    canvas = _canvas(call)
    seed = hashlib.sha256(call.body + bytes([index])).digest()
    return base64.b64encode(png(canvas.width or _SQUARE, canvas.height or _SQUARE, seed[:3])).decode()


def _canvas(call: Call) -> Canvas:
    asked = dict(call.parameters)
    canvas = read_canvas(asked["size"], asked["quality"])
    return canvas if isinstance(canvas, Canvas) else Canvas("auto", "standard", "1K")


def _described(call: Call) -> dict[str, str]:
    canvas = _canvas(call)
    size = f"{canvas.width or _SQUARE}x{canvas.height or _SQUARE}"
    return {"background": "opaque", "output_format": "png", "size": size, "quality": _quality(canvas)}


def _quality(canvas: Canvas) -> str:
    quality = _PLAIN_QUALITIES.get(canvas.quality, canvas.quality)
    return quality if quality in _TOKENS else "medium"


def _usage(dialect: Dialect, call: Call, script: Script, *, images: int) -> dict[str, Any] | None:
    """Tokens by the area, or what the script wants told; None where none are told."""
    if script.usage is UsageShape.NONE or not call.model.startswith(_BY_TOKENS):
        return None
    canvas = _canvas(call)
    pixels = (canvas.width or _SQUARE) * (canvas.height or _SQUARE)
    each = max(1, _TOKENS[_quality(canvas)] * pixels // _SQUARE**2)
    output = images * each + (PARTIAL_TOKENS * _partial_images(call) if images else 0)
    text, given = count_tokens(dialect.text_of(call)), call.media_tokens
    match script.usage:
        case UsageShape.WRONG:
            text, output = text + 10_000_000, output + 10_000_000
        case UsageShape.NEGATIVE:
            text = -5 - given
        case UsageShape.ZERO:
            text, given, output = 0, 0, 0
        case UsageShape.TRUE:
            pass
    return {
        "input_tokens": text + given,
        "output_tokens": output,
        "total_tokens": text + given + output,
        "input_tokens_details": {"text_tokens": text, "image_tokens": given},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
    }


def _partial_images(call: Call) -> int:
    stated = call.fields.get("partial_images")
    text = "" if stated is None else text_field(call.fields, "partial_images") or bytes(stated).decode()
    return int(text) if text.isdigit() else 0


def _event(kind: str, payload: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode({"type": kind} | payload))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
