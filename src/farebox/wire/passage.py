"""How a call gets from the dialect it was made in to the dialect a channel speaks, and its answer back.

The same dialect on both sides is passed on byte for byte by the dialect itself. Two chat dialects
are joined by a `Translation` through the neutral form in `wire.chat`. A pair that is not here
cannot serve one another. No state, no I/O; which channel is asked is the relay's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from farebox.wire.call import PLAIN_BODY, Call, ChannelBody, Malformed
from farebox.wire.chat.features import objection
from farebox.wire.chat.speech import Speech
from farebox.wire.chat.translated import TranslatedMeter, counted_output
from farebox.wire.dialect import Dialect, Meters
from farebox.wire.gemini.embeddings_passage import EMBEDDINGS
from farebox.wire.gemini.images_passage import IMAGES
from farebox.wire.openai_answer import Answer
from farebox.wire.openai_errors import UpstreamError, read_upstream_error
from farebox.wire.speeches import SPEECHES
from farebox.wire.usage import Convention


class Passage(Protocol):
    """One way from a caller to a channel."""

    convention: Convention
    """Of the usage that comes back."""

    def upstream_path(self, call: Call, upstream_model: str) -> str: ...
    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes: ...
    def meter(self, call: Call) -> Meters: ...
    def read_answer(self, body: bytes, call: Call) -> Answer | None: ...
    def read_upstream_error(self, body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError: ...


class Joined(Passage, Protocol):
    """A way between two dialects, which not every call can go."""

    def objection(self, call: Call) -> Malformed | None:
        """Why this call cannot be said in the channel's dialect; None if it can."""
        ...


class Translation:
    """A call in one chat dialect, served by a channel that speaks another."""

    def __init__(self, ours: Speech, theirs: Speech) -> None:
        self.ours = ours
        self.theirs = theirs
        self.convention = theirs.convention

    def upstream_path(self, call: Call, upstream_model: str) -> str:
        """Below the channel's base URL."""
        return self.theirs.path(upstream_model, stream=call.stream)

    def objection(self, call: Call) -> Malformed | None:
        """Why this call cannot be said in the channel's dialect; None if it can."""
        request = self.ours.read_request(call)
        if isinstance(request, Malformed):
            return request
        return objection(request, self.theirs.table, dialect=self.theirs.name)

    def forward(
        self, call: Call, *, upstream_model: str, output_limit: int | None = None, channel: ChannelBody = PLAIN_BODY
    ) -> bytes:
        """The body in the channel's dialect. `output_limit` is the held output in tokens; None leaves the caller's.

        Only for calls without an `objection`.
        """
        request = self.ours.read_request(call)
        if isinstance(request, Malformed):
            raise ValueError("objection() refuses what cannot be read")
        asked = call.output_limit
        limit = output_limit if asked is None or output_limit is None else min(asked, output_limit)
        request = msgspec.structs.replace(request, output_limit=asked if limit is None else limit)
        return self.theirs.write_request(request, upstream_model=upstream_model, channel=channel)

    def meter(self, call: Call) -> Meters:
        """For a stream."""
        return TranslatedMeter(call, ours=self.ours, theirs=self.theirs)

    def read_answer(self, body: bytes, call: Call) -> Answer | None:
        """A buffered answer, to be rendered with the usage that will be charged."""
        whole = self.theirs.read_whole(body)
        if whole is None:
            return None
        return Answer(
            body=b"",
            usage=whole.usage,
            finish_reasons={0: whole.ended.reason.value},
            service_tier=whole.service_tier,
            output=counted_output(whole.events),
            render=lambda usage: self.ours.write_whole(call, whole, usage),
        )

    def read_upstream_error(self, body: bytes, *, names: Mapping[str, str] | None = None) -> UpstreamError:
        """Errors of every dialect are read by the same reader."""
        return read_upstream_error(body, names=names)


NATIVE: Mapping[str, frozenset[str]] = {
    "openai_chat": frozenset({"openai", "sandbox"}),
    "openai_embeddings": frozenset({"openai", "openai_responses", "sandbox"}),
    "openai_completions": frozenset({"openai", "sandbox"}),
    "openai_moderations": frozenset({"openai", "openai_responses", "sandbox"}),
    "rerank": frozenset({"openai", "sandbox"}),
    "audio_speech": frozenset({"openai", "openai_responses", "sandbox"}),
    "audio_transcriptions": frozenset({"openai", "openai_responses", "sandbox"}),
    "audio_translations": frozenset({"openai", "openai_responses", "sandbox"}),
    "image_generations": frozenset({"openai", "openai_responses", "sandbox"}),
    "image_edits": frozenset({"openai", "openai_responses", "sandbox"}),
    "image_variations": frozenset({"openai", "openai_responses", "sandbox"}),
    "gemini": frozenset({"gemini", "sandbox"}),
    "gemini_embeddings": frozenset({"gemini", "sandbox"}),
    "anthropic": frozenset({"anthropic", "sandbox"}),
    "openai_responses": frozenset({"openai_responses", "sandbox"}),
}
"""Which channels speak each dialect themselves, by the dialect a channel states."""

_SPOKEN_BY: Mapping[str, str] = {
    "openai": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
"""The chat dialect of a channel."""

_CHATS: Mapping[tuple[str, str], Joined] = {
    (ours, channel): Translation(SPEECHES[ours], SPEECHES[theirs])
    for ours in SPEECHES
    for channel, theirs in _SPOKEN_BY.items()
    if theirs in SPEECHES and ours != theirs
}
_TRANSLATIONS: Mapping[tuple[str, str], Joined] = {**_CHATS, **EMBEDDINGS, **IMAGES}
"""By the caller's dialect and the channel's."""


def is_native(dialect: Dialect, channel_dialect: str) -> bool:
    """Whether calls of the dialect go to such a channel as they came."""
    return channel_dialect in NATIVE[dialect.name]


def passage_between(dialect: Dialect, channel_dialect: str) -> Passage | None:
    """The way to a channel of that dialect; None if there is none."""
    return dialect if is_native(dialect, channel_dialect) else _TRANSLATIONS.get((dialect.name, channel_dialect))


def objection_to(dialect: Dialect, call: Call, channel_dialects: frozenset[str]) -> Malformed | None:
    """Why none of these channels can be asked for this call; None if one of them can, or there is none at all."""
    first: Malformed | None = None
    for channel_dialect in sorted(channel_dialects):
        if is_native(dialect, channel_dialect):
            return None
        translation = _TRANSLATIONS.get((dialect.name, channel_dialect))
        if translation is not None:
            problem = translation.objection(call)
            if problem is None:
                return None
            first = first or problem
    return first


CHANNEL_DIALECTS: tuple[str, ...] = (*_SPOKEN_BY, "sandbox")
"""What a channel may speak."""
