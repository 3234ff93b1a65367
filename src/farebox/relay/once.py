"""The same request twice: idempotency keys, and the retries SDKs make by themselves.

A keyed request runs once; its answer is kept sealed for a day and replayed for free. A retry
of an SDK without a key (same key, same body, within ten minutes) joins the answer that is still
running, or takes the one that was drained after its client left (Law 9).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import msgspec

from farebox.admission.commands import IdempotencyClaim
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.faults import LedgerUnavailable
from farebox.ids import request_of
from farebox.relay.ask import Ask
from farebox.relay.settle import Kept
from farebox.store import statements
from farebox.store.keyring import KeyView
from farebox.store.postgres import GONE, Pool
from farebox.upstream.secrets import KeyRing

JOIN_POLL_S = 0.25
JOIN_LIMIT_S = 600.0


class Once:
    """Looks up what an earlier, equal request came to."""

    def __init__(self, pool: Pool, key_ring: KeyRing) -> None:
        self._pool = pool
        self._key_ring = key_ring
        self._sql = statements.load("accounts")

    def claim_of(self, ask: Ask, fingerprint: bytes) -> IdempotencyClaim | None:
        """What the hold claims for a keyed request."""
        return None if ask.idempotency_key is None else IdempotencyClaim(ask.idempotency_key, fingerprint)

    async def earlier(self, ask: Ask, view: KeyView, fingerprint: bytes) -> Kept | Refusal | None:
        """What to answer instead of running the request again; None: run it.

        Raises `LedgerUnavailable`.
        """
        try:
            if ask.idempotency_key is not None:
                return await self._keyed(ask.idempotency_key, view.account.id, fingerprint)
            if ask.retry_count > 0:
                return await self._join(view, fingerprint)
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the database does not answer") from error
        return None

    async def _keyed(self, key: str, account_id: str, fingerprint: bytes) -> Kept | Refusal | None:
        claim = await self._pool.fetchrow(self._sql["find_claim"], account_id, key)
        if claim is None:
            return None
        if claim["fingerprint"] != fingerprint:
            return _MISMATCH
        if not claim["completed"]:
            return IN_PROGRESS
        sealed = await self._pool.fetchval(self._sql["kept_answer"], account_id, claim["hold_id"])
        return _completed(claim["hold_id"]) if sealed is None else self._open(sealed, claim["hold_id"])

    async def _join(self, view: KeyView, fingerprint: bytes) -> Kept | None:
        """Wait for an equal request that still runs; then, or at once, take its kept answer if there is one."""
        deadline = time.monotonic() + JOIN_LIMIT_S
        arguments = (view.account.id, view.key.id, fingerprint.hex())
        while time.monotonic() < deadline:
            if await self._pool.fetchval(self._sql["running_like"], *arguments) is None:
                break
            await asyncio.sleep(JOIN_POLL_S)
        row: Any = await self._pool.fetchrow(self._sql["kept_by_fingerprint"], view.account.id, fingerprint)
        return None if row is None else self._open(row["sealed"], row["hold_id"])

    def _open(self, sealed: bytes, hold_id: str) -> Kept:
        return msgspec.msgpack.decode(self._key_ring.open(sealed, row=hold_id), type=Kept)


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
