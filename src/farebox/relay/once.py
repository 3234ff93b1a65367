"""The same request twice: idempotency keys, and the retries SDKs make by themselves.

A keyed request runs once; its answer is kept sealed for a day and replayed for free. A retry
of an SDK without a key (same API key, same body, within ten minutes) joins the answer that is
still running, or takes the one that was drained after its client left (Law 9).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from hashlib import blake2b

import msgspec

from farebox.admission.commands import IdempotencyClaim
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.ids import request_of
from farebox.relay.ask import Ask, Client
from farebox.relay.job import Mark
from farebox.relay.settle import Kept
from farebox.store.answers import Answers, KeptAnswer
from farebox.store.keyring import KeyView
from farebox.upstream.secrets import KeyRing
from farebox.wire.form import FormDialect

JOIN_POLL_S = 0.25
JOIN_LIMIT_S = 600.0


class Once:
    """Looks up what an earlier, equal request came to."""

    def __init__(self, answers: Answers, key_ring: KeyRing) -> None:
        self._answers = answers
        self._key_ring = key_ring
        self._awaited: Counter[bytes] = Counter()

    def fingerprint_of(self, ask: Ask) -> bytes:
        """What a request looks like, for telling the same one from another."""
        dialect = ask.dialect
        digest = blake2b(f"{dialect.name}{dialect.at}\0".encode(), digest_size=16)
        for piece in dialect.told_apart_by(ask.body) if isinstance(dialect, FormDialect) else (ask.body,):
            digest.update(piece)
        return digest.digest()

    def claim_of(self, ask: Ask, fingerprint: bytes) -> IdempotencyClaim | None:
        """What the hold claims for a keyed request."""
        return None if ask.idempotency_key is None else IdempotencyClaim(ask.idempotency_key, fingerprint)

    def mark_of(self, ask: Ask, view: KeyView, fingerprint: bytes) -> Mark:
        """By which an SDK's own retry finds this request: the same API key and body."""
        if ask.idempotency_key is not None:
            return Mark(b"", self._awaited)
        return Mark(blake2b(view.key.id.encode() + fingerprint, digest_size=16).digest(), self._awaited)

    async def earlier(self, ask: Ask, view: KeyView, fingerprint: bytes, client: Client) -> Kept | Refusal | None:
        """What to answer instead of running the request again; None: run it.

        Raises `LedgerUnavailable`.
        """
        if ask.idempotency_key is not None:
            return await self._keyed(ask.idempotency_key, view.account.id, fingerprint)
        if ask.retry_count > 0:
            return await self._join(view, self.mark_of(ask, view, fingerprint).digest, client)
        return None

    async def _keyed(self, key: str, account_id: str, fingerprint: bytes) -> Kept | Refusal | None:
        claim = await self._answers.claimed(account_id, key)
        if claim is None:
            return None
        if claim.fingerprint != fingerprint:
            return _MISMATCH
        if not claim.completed:
            return IN_PROGRESS
        kept = await self._answers.kept(account_id, claim.hold_id)
        return _completed(claim.hold_id) if kept is None else self._open(kept)

    async def _join(self, view: KeyView, mark: bytes, client: Client) -> Kept | None:
        """Wait for an equal request that still runs; then, or at once, take its kept answer if there is one."""
        self._awaited[mark] += 1
        try:
            deadline = time.monotonic() + JOIN_LIMIT_S
            while not client.left and time.monotonic() < deadline:
                if not await self._answers.is_running(view.account.id, view.key.id, mark):
                    break
                await asyncio.sleep(JOIN_POLL_S)
        finally:
            self._awaited[mark] -= 1
            if not self._awaited[mark]:
                del self._awaited[mark]
        kept = await self._answers.kept_like(view.account.id, mark)
        return None if kept is None else self._open(kept)

    def _open(self, kept: KeptAnswer) -> Kept:
        return msgspec.msgpack.decode(self._key_ring.open(kept.sealed, row=kept.hold_id), type=Kept)


IN_PROGRESS = Refusal(
    RefusalCode.IDEMPOTENCY_IN_PROGRESS,
    "A request with this idempotency key is still running. Ask again when it has ended.",
    retry_after_s=2,
    retry_helps=True,
)
_MISMATCH = Refusal(
    RefusalCode.IDEMPOTENCY_MISMATCH,
    "This idempotency key was used with another body. Use a new key for a new request.",
)


def _completed(hold_id: str) -> Refusal:
    receipt = f"/v1/receipts/{request_of(hold_id)}"
    return Refusal(
        RefusalCode.IDEMPOTENCY_COMPLETED,
        f"The request of this idempotency key was answered and charged; its answer is no longer kept. See {receipt}.",
        param=receipt,
    )
