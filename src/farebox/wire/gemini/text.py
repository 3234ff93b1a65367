"""The text of a Gemini request, for counting its tokens more closely than by bytes.

A `Call` enters, one string leaves: contents, system instruction, tools and schemas, without media. Never raises.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

import msgspec

from farebox.wire.call import Call
from farebox.wire.openai_text import MESSAGE_TOKENS

_CONTENTS = ("contents", "systemInstruction", "content", "requests")
_AS_WRITTEN = ("tools", "toolConfig", "generationConfig")
_NO_TEXT = frozenset({"fileData", "role", "thoughtSignature", "videoMetadata", "mediaResolution", "taskType", "model"})

_decode = msgspec.json.Decoder(float_hook=str).decode


def text_of(call: Call) -> str:
    """All text of a request that becomes input tokens; schemas as they were written."""
    texts: list[str] = []
    for name in _CONTENTS:
        value = call.fields.get(name)
        if value is not None:
            _collect(_decode(value), texts)
    texts += [bytes(call.fields[name]).decode(errors="replace") for name in _AS_WRITTEN if name in call.fields]
    return "\n".join(texts)


def tokens_beside_text(call: Call) -> int:
    """What a chat template writes at each content."""
    contents = call.fields.get("contents")
    read: Any = [] if contents is None else _decode(contents)
    return MESSAGE_TOKENS * (len(cast(list[Any], read)) if isinstance(read, list) else 1)


def _collect(root: Any, texts: list[str]) -> None:
    """Every string below `root` that is text, in no promised order, without recursion."""
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            waiting.extend(cast(list[Any], value))
        elif isinstance(value, dict):
            fields = cast(dict[str, Any], value)
            if "inlineData" in fields:
                texts.append(_inline_text(fields["inlineData"]))
            waiting.extend([below for name, below in fields.items() if name not in _NO_TEXT and name != "inlineData"])


def _inline_text(blob: Any) -> str:
    """A text file in the body; other media are bounded by formula."""
    fields = cast(dict[str, Any], blob) if isinstance(blob, dict) else {}
    if not str(fields.get("mimeType", "")).lower().startswith("text/"):
        return ""
    try:
        return base64.b64decode(str(fields.get("data", "")), altchars=b"-_").decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""
