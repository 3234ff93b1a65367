"""Reasoning another provider made, carried through clients of this dialect in `encrypted_content`.

Clients of this dialect send `encrypted_content` back as it came and look at nothing in it. What Anthropic
or Gemini need back with their reasoning travels there, under a mark that no provider uses. Nothing
secret is inside: it is what the provider itself would have shown its own client.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

_MARK = "farebox-1."
_QUOTED_MARK = b'"' + _MARK.encode()


class Envelope(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a provider of another dialect needs to have its reasoning back."""

    origin: str
    signature: str | None = None
    sealed: str | None = None


_decode = msgspec.json.Decoder(Envelope).decode


def wrap(envelope: Envelope) -> str:
    """Written as the value of `encrypted_content`."""
    return _MARK + base64.urlsafe_b64encode(msgspec.json.encode(envelope)).decode()


def unwrap(content: str) -> Envelope | None:
    """What was wrapped; None for what a provider of this dialect sealed itself. Never raises."""
    if not content.startswith(_MARK):
        return None
    try:
        return _decode(base64.urlsafe_b64decode(content[len(_MARK) :]))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def is_envelope(content: msgspec.Raw) -> bool:
    """Whether a value of `encrypted_content`, as written, is one of ours."""
    return bytes(memoryview(content)[: len(_QUOTED_MARK)]) == _QUOTED_MARK


def mentions_envelope(body: bytes) -> bool:
    """Whether a body may carry one; cheap."""
    return _QUOTED_MARK in body
