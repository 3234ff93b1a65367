"""What a model call asks for, in words every dialect shares, or why it cannot be read.

A dialect's `parse` turns the bytes of a body into a `Call` or a `Malformed`. A `Call` keeps the
body as it came, so that it can be forwarded byte for byte, and beside it all that bounds the
price: bytes of text, media, choices, output limit, tier, tools (Law 1). Nothing here counts
tokens, knows a price or does I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

import msgspec

from farebox.tariff.estimate import TEXT_ONLY, TYPICAL_OUTPUT_TOKENS
from farebox.tariff.meters import Meter

Fields = dict[str, msgspec.Raw]
"""The fields of a JSON object with each value exactly as it was written."""

MAX_MODEL_LENGTH = 256
MAX_CHOICES = 128
MAX_LIMIT = 2**31 - 1

TEMPLATE_TOKENS = 256
"""What chat templates and hidden preambles add to the text a caller sends, at most."""
TOOL_TEMPLATE_TOKENS = 512
"""The same for the preamble that explains the use of tools."""

ABSENT = msgspec.Raw()
"""The default of a `Raw` field that was not there. (A union of `Raw` and `None` cannot be decoded.)"""


MEDIA_IN = (Meter.INPUT_IMAGE, Meter.CACHED_IMAGE, Meter.INPUT_AUDIO, Meter.CACHED_AUDIO, Meter.INPUT_VIDEO)
"""Meters of input that is not text."""
_IMAGES_IN = (Meter.INPUT_IMAGE, Meter.CACHED_IMAGE)
PLAIN_TEXT: Mapping[Meter, int] = {
    **{meter: 0 for meter in TEXT_ONLY if meter is not Meter.OUTPUT_IMAGE},
    Meter.CACHE_WRITE_1H: 0,
}
"""Bounds by meter of a call that carries text, asks for text, and names no cache lifetime. A model that makes images
may do so without being asked, so they have none."""


class MalformedCode(StrEnum):
    """The codes that reading a body can give."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGES = "invalid_messages"
    MISSING_PARAMETER = "missing_parameter"
    INVALID_PARAMETER = "invalid_parameter"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    FILE_TOO_LARGE = "file_too_large"


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """The body cannot be served. `param` names the field; the message never quotes its value."""

    code: MalformedCode
    message: str
    param: str | None = None


class Turn(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where a call stands in a conversation that is kept for its account."""

    id: str
    """Of its answer: ours, and what a later turn names. Time-ordered, so it also says when."""
    previous: str | None = None
    """The answer it goes on from; its items were written into the call's input."""
    kept: bool = False
    """Input and answer are stored once the call is charged."""
    keeps_reasoning: bool = False
    """Sealed reasoning is asked for, so that a later turn can send it back."""
    place: tuple[str, str] | None = None
    """Channel and upstream key that answered before: what they sealed, only they can read."""
    added: msgspec.Raw = ABSENT
    """What this turn adds to the conversation, as written."""


class Call(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One request to a model. Limits and bounds are in tokens unless they say otherwise."""

    body: bytes
    fields: Fields
    model: str
    """The name asked for, which the answer will echo."""
    stream: bool = False
    choices: int = 1
    """`n`: how many answers are produced, each up to the output limit."""
    output_limit: int | None = None
    """Per choice; None if the caller named none."""
    limit_fields: tuple[str, ...] = ()
    """The fields the caller wrote its limit in."""
    output_extra: int = 0
    """Output per choice that can be charged beyond the limit (rejected predictions)."""
    held_whole: bool = False
    """Nothing in the body could limit the output, so it is never cut to what the credits pay for: the hold covers the
    limit, or the call is refused."""
    typical: tuple[Meter, int] = (Meter.OUTPUT, TYPICAL_OUTPUT_TOKENS)
    """What a quote calls likely of each choice."""
    input_bytes: int = 0
    """Upper bound on text tokens: a token covers at least one byte. Template allowance included."""
    media_tokens: int = 0
    """Upper bound for images and audio in the input, together."""
    dearer_elsewhere: int = 0
    """What the images can take beyond `media_tokens` at a provider of another dialect."""
    input_open: bool = False
    """True: something in the input has no bound of its own (a document, a video, a search), so the model's
    context length is the bound."""
    input_extra: int = 0
    """Upper bound for what tools of the provider add to the input, where that has a bound of its own."""
    input_rounds: int = 1
    """How often the model may read an open input inside this one request: once more for each use of a tool the
    provider runs, since all of it is charged as input each time."""
    at_most: Mapping[Meter, int]
    """Narrower bounds by meter, as `tariff.estimate.Bounds` takes them."""
    has_output: bool = True
    """False: the model produces no tokens (embeddings)."""
    cache_write_meter: Meter = Meter.CACHE_WRITE_5M
    """Where input written to a prompt cache is counted, by the lifetime asked for."""
    units: tuple[tuple[Meter, int], ...] = ()
    """What is charged per request and not reported as usage (searches)."""
    either: tuple[Meter, ...] = ()
    """Meters a rate card prices the same work by, one or another: what a card has no price for is not counted."""
    service_tier: str | None = None
    """As asked for; None is the provider's default. The tier served is charged."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Values that conditions of a rate card may look at, as text."""
    wants_usage: bool = False
    """The client asked for the usage event of a stream."""
    end_user: str | None = None
    sticky: bytes = b""
    """What ties requests of one conversation together; the caller hashes it with the account."""
    has_stop: bool = False
    """Stop sequences were given: an answer may be empty because it was asked to be."""
    sealed: bool = False
    """Carries reasoning only the upstream key that made it can read: it is never tried elsewhere."""
    turn: Turn | None = None
    """Set for dialects whose answers have names that outlive them."""
    measured: bool = False
    """What is charged beside tokens was measured or counted here, and no provider is asked for it."""
    answer_type: bytes = b""
    """What the answer is, where it is neither JSON nor a stream of events. A provider may say it more closely."""
    asked_s: int = 0
    """When it was asked, in Unix seconds; set where an answer is written that says so."""

    def sold_by(self, priced: Collection[Meter]) -> Call:
        """The call as a card with prices for these meters counts it; one that prices none of `either` as it is."""
        unpriced = [meter for meter in self.either if meter not in priced]
        if not unpriced or len(unpriced) == len(self.either):
            return self
        units = tuple([(meter, count) for meter, count in self.units if meter not in unpriced])
        at_most = {**self.at_most, **dict.fromkeys(unpriced, 0)}
        takes, makes = Meter.INPUT not in unpriced, self.has_output and Meter.OUTPUT not in unpriced
        input_bytes, media_tokens = (self.input_bytes, self.media_tokens) if takes else (0, 0)
        return msgspec.structs.replace(
            self, units=units, at_most=at_most, input_bytes=input_bytes, media_tokens=media_tokens, has_output=makes
        )

    def served_anywhere(self) -> Call:
        """The call with bounds that hold whichever dialect it ends up in."""
        dearer = self.dearer_elsewhere
        if not dearer:
            return self
        images = {meter: self.at_most[meter] + dearer for meter in _IMAGES_IN if meter in self.at_most}
        return msgspec.structs.replace(
            self, media_tokens=self.media_tokens + dearer, dearer_elsewhere=0, at_most={**self.at_most, **images}
        )

    @property
    def input_most(self) -> int | None:
        """The most input tokens the call can be charged, all meters together; None if `input_open`."""
        if self.input_open:
            return None
        return self.input_bytes + self.media_tokens + self.input_extra


class ChannelBody(msgspec.Struct, frozen=True, gc=False):
    """How one upstream channel wants its bodies; the pure part of its settings."""

    limit_field: str = "max_completion_tokens"
    """Where an output limit goes if the caller wrote none. Older servers know `max_tokens` only."""
    stream_usage: bool = True
    """Ask for the usage event of streams."""
    safety_identifier: str | None = None
    """A hash of the customer, sent in place of the caller's own."""
    overrides: Mapping[str, msgspec.Raw] = {}
    """Fields the operator sets, whatever the caller wrote."""
    api_version: str | None = None
    """The version header that will go out (`anthropic-version`), where a body must agree with it."""


PLAIN_BODY = ChannelBody()


def raw(value: object) -> msgspec.Raw:
    """A value written as JSON, ready to stand in `Fields`."""
    return msgspec.Raw(msgspec.json.encode(value))


def is_present(value: msgspec.Raw) -> bool:
    """True for a field that was there and is not `null`."""
    return value is not ABSENT and bytes(value) != b"null"


def is_set(fields: Fields, name: str) -> bool:
    """True if the field is there and neither `null` nor `false`."""
    return is_present(fields.get(name, ABSENT)) and bytes(fields[name]) != b"false"


def text_field(fields: Fields, name: str) -> str | None:
    """The field as text if it is a string, else None. Never raises."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
