"""A chat request in no dialect: what any of the four can say, so that each needs one reader and one writer.

A dialect's `Speech` reads a `Call` into a `ChatRequest` and writes a `ChatRequest` into the body
that goes upstream. Only calls that change dialect come here; the others pass byte for byte. What a
dialect has no word for is left out of its reader and stands in its table (`features`). No price and
no bound is worked out here: the `Call` keeps both, whatever dialect the call is put into (Law 1).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Source(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where a medium's bytes are: exactly one of the three is given."""

    url: str | None = None
    base64: str | None = None
    text: str | None = None
    """Plain text that is the document itself."""
    media_type: str | None = None
    """As stated, such as `image/png`; None if the caller did not say."""


class Text(msgspec.Struct, frozen=True, gc=False, tag="text", omit_defaults=True):
    text: str
    cache_ttl: str | None = None
    """`5m`, `1h` or another lifetime: a prompt cache is to be written up to here."""


class Image(msgspec.Struct, frozen=True, gc=False, tag="image", omit_defaults=True):
    source: Source
    detail: str | None = None
    """`low`, `high`, `auto` or `original`."""


class Document(msgspec.Struct, frozen=True, gc=False, tag="document", omit_defaults=True):
    """A PDF or another file the model reads."""

    source: Source
    name: str | None = None


class Audio(msgspec.Struct, frozen=True, gc=False, tag="audio"):
    source: Source


class Video(msgspec.Struct, frozen=True, gc=False, tag="video"):
    source: Source


class Refusal(msgspec.Struct, frozen=True, gc=False, tag="refusal"):
    """What a model said when it declined, in an earlier answer."""

    text: str


class Thinking(msgspec.Struct, frozen=True, gc=False, tag="thinking", omit_defaults=True):
    """Reasoning of an earlier answer. `sealed` is readable by the provider alone that made it."""

    origin: str
    """The dialect it was read in; another provider cannot use its signature."""
    text: str = ""
    signature: str | None = None
    sealed: str | None = None
    """Reasoning the caller cannot read (redacted, encrypted)."""
    id: str | None = None


class ToolUse(msgspec.Struct, frozen=True, gc=False, tag="tool_use", omit_defaults=True):
    """A call of a tool, in an earlier answer."""

    id: str
    name: str
    arguments: str
    """A JSON object as text, as the model wrote it; may be broken where the model broke it."""
    custom: bool = False
    """`arguments` is free text."""
    signature: str | None = None
    """Gemini's thought signature, which must go back with the call."""


class ToolResult(msgspec.Struct, frozen=True, gc=False, tag="tool_result", omit_defaults=True):
    """What the caller's tool gave back."""

    id: str
    blocks: tuple[Text | Image | Document, ...]
    name: str | None = None
    """Filled in from the call of the same id where the dialect does not repeat it."""
    is_error: bool = False
    custom: bool = False


Block = Text | Image | Document | Audio | Video | Refusal | Thinking | ToolUse | ToolResult


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One turn. System messages may stand anywhere; tool results stand in user messages."""

    role: Role
    blocks: tuple[Block, ...]
    name: str | None = None


class Tool(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A function the caller runs itself."""

    name: str
    description: str | None = None
    schema: msgspec.Raw = msgspec.Raw(b'{"type":"object","properties":{}}')
    """JSON Schema of its arguments, as written."""
    strict: bool | None = None
    custom: bool = False
    """Takes free text instead of JSON."""
    cache_ttl: str | None = None


class ToolChoice(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`auto`, `none`, `required`, or `named` with the names of those that may be called (one or more)."""

    mode: str = "auto"
    names: tuple[str, ...] = ()
    parallel: bool | None = None
    """None: not said."""


class Format(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the answer must look like: `json_object`, or `json_schema` with a schema."""

    kind: str
    name: str | None = None
    schema: msgspec.Raw = msgspec.Raw()
    strict: bool | None = None
    description: str | None = None
    """What the form is for, in words the model reads."""


class Reasoning(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How much to think first. At least one field is given."""

    effort: str | None = None
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`."""
    budget: int | None = None
    """In tokens, inside the output limit; 0 is none at all, -1 is up to the model."""
    show: bool | None = None
    """Whether the caller wants to see it (summaries, thoughts)."""


class ChatRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One call. None is 'not said', and is not written."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    output_limit: int | None = None
    """In tokens, reasoning included."""
    temperature: msgspec.Raw = msgspec.Raw()
    """Numbers stay as they were written; an empty `Raw` is 'not said'."""
    top_p: msgspec.Raw = msgspec.Raw()
    top_k: int | None = None
    frequency_penalty: msgspec.Raw = msgspec.Raw()
    presence_penalty: msgspec.Raw = msgspec.Raw()
    seed: int | None = None
    stop: tuple[str, ...] = ()
    format: Format | None = None
    reasoning: Reasoning | None = None
    verbosity: str | None = None
    end_user: str | None = None
    cache_key: str | None = None
    """What the provider finds a prompt cache by, beside the prompt; dropped where a dialect has no such field."""
    metadata: msgspec.Raw = msgspec.Raw()
    service_tier: str | None = None
    """Under its OpenAI name: `default`, `flex`, `priority`, `auto`."""
    stream: bool = False
    others: frozenset[str] = frozenset()
    """Names of `features` the caller asked for that no field above holds, such as `logprobs`."""
