"""Channels and upstream keys as the operator configured them: values, and reading them from plain ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from farebox.faults import SetupFault

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class ChannelTimeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In seconds; `None` leaves the model's own."""

    connect_s: Seconds | None = None
    first_byte_s: Seconds | None = None
    idle_s: Seconds | None = None
    total_s: Seconds | None = None


class UpstreamKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key the operator holds at a provider. `None` as a limit is unlimited."""

    id: str
    secret: str
    weight: AtLeastOne = 1
    requests_per_minute: AtLeastOne | None = None
    concurrency: AtLeastOne | None = None
    enabled: bool = True

    def __repr__(self) -> str:
        return f"UpstreamKey({self.id!r})"


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place at a provider, with its pool of keys. Ids are unique over all channels and keys."""

    id: str
    name: str
    dialect: str
    base_url: Annotated[str, msgspec.Meta(pattern="^https?://[^/]")]
    keys: tuple[UpstreamKey, ...]
    models: dict[str, str]
    """Our model id → the provider's name for it."""
    weight: AtLeastOne = 1
    priority: int = 0
    """Higher is asked first; lower ones only when no higher one can serve."""
    concurrency: AtLeastOne | None = None
    headers: dict[str, str | None] = {}
    """Laid over the request's; `None` removes."""
    parameters: dict[str, Any] = {}
    """Laid over the top level of the body."""
    enabled: bool = True
    bills_after_disconnect: bool = True
    """False: the provider stops billing when told, so a stream whose client left is closed."""
    limit_field: str = "max_completion_tokens"
    """Where an output limit goes when the caller wrote none; older servers know `max_tokens` only."""
    stream_usage: bool = True
    """Whether the provider understands `stream_options.include_usage`."""
    proxy: str | None = None
    timeouts: ChannelTimeouts = ChannelTimeouts()

    def __repr__(self) -> str:
        return f"Channel({self.id!r}, {self.name!r})"


def channels_from(plain: Iterable[Mapping[str, Any]]) -> tuple[Channel, ...]:
    """Read channels from plain values; unknown fields, wrong types and repeated ids are a `SetupFault`."""
    try:
        channels = msgspec.convert(list(plain), tuple[Channel, ...])
    except msgspec.ValidationError as error:
        raise SetupFault(f"A channel's settings are wrong: {error}. Correct it with `farebox channel edit`.") from None
    ids = [name for channel in channels for name in (channel.id, *(key.id for key in channel.keys))]
    if len(ids) != len(set(ids)):
        raise SetupFault("Two channels or upstream keys have the same id; every id may stand once.")
    return channels
