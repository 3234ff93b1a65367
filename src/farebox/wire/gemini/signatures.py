"""What another provider needs to have its reasoning back, carried through clients of this dialect.

Google's clients send a `thoughtSignature` back as it came and look at nothing in it but that it is base64. What
Anthropic signed or OpenAI sealed travels there in an envelope of ours. Nothing secret is inside.
"""

from __future__ import annotations

import base64
import binascii

from farebox.wire.chat.events import ThinkingSigned
from farebox.wire.chat.request import Thinking
from farebox.wire.responses.envelope import Envelope, unwrap, wrap

ORIGIN = "gemini"
_MARK = b"ZmFyZWJveC0x"
"""How every envelope begins once it is base64; no signature of Google's does."""


def signature_of(signed: ThinkingSigned) -> str:
    """The `thoughtSignature` a client is shown: Google's own as it is, another's in an envelope."""
    if signed.origin == ORIGIN and signed.signature is not None:
        return signed.signature
    envelope = wrap(Envelope(signed.origin, signed.signature, signed.sealed))
    return base64.b64encode(envelope.encode()).decode()


def read_thought(text: str, signature: str | None) -> Thinking:
    """A thought of an earlier answer, of whoever thought it."""
    envelope = None if signature is None else _opened(signature)
    if envelope is None:
        return Thinking(ORIGIN, text, signature)
    return Thinking(envelope.origin, text, envelope.signature, envelope.sealed)


def carries_envelope(body: bytes) -> bool:
    """Whether a request brings another provider's reasoning, which only the key that sealed it may be able to read."""
    return _MARK in body


def _opened(signature: str) -> Envelope | None:
    if not signature.startswith(_MARK.decode()):
        return None
    try:
        return unwrap(base64.b64decode(signature + "==", altchars=b"-_").decode())
    except (binascii.Error, ValueError):
        return None
