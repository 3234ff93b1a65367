"""A keyed request whose gateway stood still while its key was given back and used again (Laws 3, 9)."""

from __future__ import annotations

from tests.support.ledger_desk import PATIENCE_S, open_desk, opened, void

from farebox.admission.commands import Capture, IdempotencyClaim
from farebox.admission.refusals import Refusal
from farebox.ids import HoldId
from farebox.money import Nano

KEY = IdempotencyClaim("order-1", b"f" * 16)


async def test_a_charge_that_comes_after_its_key_was_used_again_is_refused(database: str) -> None:
    async with open_desk(database) as desk:
        frozen, other = await desk.node(), await desk.node()
        customer = await desk.customer(1_000)
        stale = await opened(frozen, customer, 400, claim=KEY)
        await void(other, stale, keyed=True)  # as another process ends the holds of one that seems dead
        again = await opened(other, customer, 400, claim=KEY)
        charge = Capture(stale, Nano(300), 1, "provider", "{}", keyed=True)
        for _ in range(2):
            assert isinstance(await frozen.submit(charge, patience_s=PATIENCE_S), Refusal)
        await other.submit(Capture(again, Nano(300), 1, "provider", "{}", keyed=True), patience_s=PATIENCE_S)
        assert await desk.ends(HoldId(stale.hold.id)) == [("end", "voided", 0)]
        assert await desk.available(customer) == 700
