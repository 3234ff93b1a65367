"""The text of a Gemini request, for counting its tokens more closely than by bytes.

A `Call` enters, one string leaves: contents, system instruction, tools and schemas, without media. Never raises.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

from farebox.wire.call import Call
from farebox.wire.json_text import but, read_any, strings_in
from farebox.wire.openai_text import MESSAGE_TOKENS

_CONTENTS = ("contents", "systemInstruction", "content", "requests")
_AS_WRITTEN = ("tools", "toolConfig", "generationConfig")
_but_media = but(
    {"inlineData", "fileData", "role", "thoughtSignature", "videoMetadata", "mediaResolution", "taskType", "model"}
)


def text_of(call: Call) -> str:
    """All text of a request that becomes input tokens; schemas as they were written."""
    texts: list[str] = []
    for name in _CONTENTS:
        value = call.fields.get(name)
        if value is not None:
            texts += strings_in(read_any(value), _inside)
    texts += [bytes(call.fields[name]).decode(errors="replace") for name in _AS_WRITTEN if name in call.fields]
    return "\n".join(texts)


def tokens_beside_text(call: Call) -> int:
    """What a chat template writes at each content."""
    contents = call.fields.get("contents")
    read: Any = [] if contents is None else read_any(contents)
    return MESSAGE_TOKENS * (len(cast(list[Any], read)) if isinstance(read, list) else 1)


def _inside(fields: dict[str, Any]) -> list[Any]:
    """What is text in an object; a text file in the body is too, and no other media."""
    inside = _but_media(fields)
    if "inlineData" in fields:
        inside.append(_inline_text(fields["inlineData"]))
    return inside


def _inline_text(blob: Any) -> str:
    """A text file in the body; other media are bounded by formula."""
    fields = cast(dict[str, Any], blob) if isinstance(blob, dict) else {}
    if not str(fields.get("mimeType", "")).lower().startswith("text/"):
        return ""
    try:
        return base64.b64decode(str(fields.get("data", "")), altchars=b"-_").decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""
