"""What the relay knows of a dialect, and the dialects there are.

The relay speaks to `Dialect` only: bytes in, `Call`; `Call` in, bytes for upstream; bytes of the
answer in, usage and bytes for the client out. A new dialect is a class with these members and a
place in `DIALECTS`. Dialects keep no state and do no I/O; a stream's state is in its meter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from farebox.tariff.meters import Usage
from farebox.wire import (
    openai_answer,
    openai_chat,
    openai_completion_answers,
    openai_completions,
    openai_embeddings,
    openai_errors,
    openai_forward,
    openai_moderations,
    openai_text,
    price_fields,
    rerank,
    usage,
)
from farebox.wire.addresses import tidied
from farebox.wire.anthropic.dialect import AnthropicMessages
from farebox.wire.audio.speaking import Speaking
from farebox.wire.audio.transcribing import Transcriptions, Translations
from farebox.wire.call import PLAIN_BODY, Call, ChannelBody, Malformed
from farebox.wire.gemini import dialect as gemini
from farebox.wire.images.dialect import ImageEdits, ImageGenerations, ImageVariations
from farebox.wire.openai_answer import Answer
from farebox.wire.openai_errors import UpstreamError
from farebox.wire.openai_stream import StreamMeter
from farebox.wire.output import OutputText
from farebox.wire.price_fields import PriceField
from farebox.wire.responses.dialect import OpenAIResponses
from farebox.wire.usage import Convention


class Meters(Protocol):
    """Reads one stream as it passes (see `passing` for what each member promises)."""

    output: OutputText
    finish_reasons: dict[int, str]
    finished: bool

    @property
    def usage(self) -> msgspec.Raw | None: ...
    @property
    def service_tier(self) -> str | None: ...
    @property
    def upstream_error(self) -> bytes | None: ...
    @property
    def saw_output(self) -> bool: ...
    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...
    def finish(self, charge: str | None, *, counted: Usage | None = None) -> bytes: ...
    def cut_short(
        self, charge: str | None, *, counted: Usage | None = None, reason: str = "length"
    ) -> bytes | None: ...
    def error_event(self, code: str, message: str) -> bytes | None:
        """None, here and above: an answer of this kind can only break off."""
        ...


class Dialect(Protocol):
    """One endpoint's way of speaking."""

    name: str
    path: str
    """Where callers find it; a name in braces stands for any."""
    at: str
    """What the address says beside that, such as a model; part of what a request is recognised by."""
    ping: bytes
    """Sent to a client of a stream after a long silence."""
    resource: str
    """For `X-RateLimit-Resource`."""
    convention: Convention
    price_fields: tuple[PriceField, ...]

    def parse(self, body: bytes) -> Call | Malformed: ...
    def upstream_path(self, call: Call, upstream_model: str) -> str:
        """Where calls go as they came, below a channel's base URL, which carries its own version."""
        ...

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes: ...
    def text_of(self, call: Call) -> str: ...
    def tokens_beside_text(self, call: Call) -> int: ...
    def meter(self, call: Call) -> Meters: ...
    def read_answer(self, body: bytes, call: Call) -> Answer | None: ...
    def render_error(
        self,
        type_: str,
        code: str,
        message: str,
        *,
        param: str | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> bytes: ...
    def read_upstream_error(self, body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError: ...


class _OpenAI:
    """What the endpoints of the OpenAI dialect share."""

    path: str
    at = ""
    ping = b": ping\n\n"
    forward = staticmethod(openai_forward.forward)
    render_error = staticmethod(openai_errors.render)
    read_upstream_error = staticmethod(openai_errors.read_upstream_error)

    def meter(self, call: Call) -> Meters:
        return StreamMeter(model=call.model, choices=call.choices, wants_usage=call.wants_usage)

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        return self.path.removeprefix("/v1")


class OpenAIChat(_OpenAI):
    name = "openai_chat"
    path = "/v1/chat/completions"
    resource = "chat"
    convention = usage.OPENAI_CHAT
    price_fields = price_fields.OPENAI_CHAT
    parse = staticmethod(openai_chat.parse)
    text_of = staticmethod(openai_text.chat_text)
    read_answer = staticmethod(openai_answer.read_chat)

    def tokens_beside_text(self, call: Call) -> int:
        """Tokens around the text: what a chat template writes at each message."""
        return openai_text.MESSAGE_TOKENS * openai_text.messages_in(call)


class OpenAIEmbeddings(_OpenAI):
    name = "openai_embeddings"
    path = "/v1/embeddings"
    resource = "embeddings"
    convention = usage.OPENAI_EMBEDDINGS
    price_fields = price_fields.OPENAI_EMBEDDINGS
    parse = staticmethod(openai_embeddings.parse)
    text_of = staticmethod(openai_text.embeddings_text)
    tokens_beside_text = staticmethod(openai_text.token_numbers)
    read_answer = staticmethod(openai_answer.read_embeddings)


class OpenAICompletions(_OpenAI):
    name = "openai_completions"
    path = "/v1/completions"
    resource = "chat"
    convention = usage.OPENAI_CHAT
    price_fields = price_fields.OPENAI_COMPLETIONS
    parse = staticmethod(openai_completions.parse)
    forward = staticmethod(openai_completions.forward)
    text_of = staticmethod(openai_completions.completion_text)
    tokens_beside_text = staticmethod(openai_completions.token_numbers)
    read_answer = staticmethod(openai_completion_answers.read_answer)

    def meter(self, call: Call) -> Meters:
        return openai_completion_answers.CompletionMeter(call)


class OpenAIModerations(_OpenAI):
    name = "openai_moderations"
    path = "/v1/moderations"
    resource = "moderations"
    convention = usage.OPENAI_EMBEDDINGS
    price_fields = price_fields.OPENAI_MODERATIONS
    parse = staticmethod(openai_moderations.parse)
    text_of = staticmethod(openai_text.embeddings_text)
    read_answer = staticmethod(openai_moderations.read_answer)

    def tokens_beside_text(self, call: Call) -> int:
        """None: a moderation has no template."""
        return 0


class Rerank(_OpenAI):
    name = "rerank"
    path = "/v1/rerank"
    resource = "rerank"
    convention = rerank.CONVENTION
    price_fields = price_fields.RERANK
    parse = staticmethod(rerank.parse)
    text_of = staticmethod(rerank.text_of)
    tokens_beside_text = staticmethod(rerank.tokens_beside_text)
    read_answer = staticmethod(rerank.read_answer)


OPENAI_CHAT: Dialect = OpenAIChat()
OPENAI_EMBEDDINGS: Dialect = OpenAIEmbeddings()
ANTHROPIC: Dialect = AnthropicMessages()
OPENAI_RESPONSES: Dialect = OpenAIResponses()

DIALECTS: tuple[Dialect, ...] = (
    OPENAI_CHAT,
    OPENAI_EMBEDDINGS,
    ANTHROPIC,
    OPENAI_RESPONSES,
    *gemini.ROUTES,
    OpenAICompletions(),
    OpenAIModerations(),
    Rerank(),
    Speaking(),
    Transcriptions(),
    Translations(),
    ImageGenerations(),
    ImageEdits(),
    ImageVariations(),
)
"""Every dialect spoken, one for each route that reaches a provider (d41)."""

_BY_PATH = {dialect.path: dialect for dialect in DIALECTS}


def dialect_at(path: str) -> Dialect | None:
    """The dialect of a route, also where the address is written as some clients do; None if there is none."""
    found = _BY_PATH.get(path)
    if found is None:
        meant = tidied(path)
        found = _BY_PATH.get(meant) or gemini.dialect_at(meant)
    return found
