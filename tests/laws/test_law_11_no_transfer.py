"""Law 11: credits do not move between accounts; there is no way to say it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.support.ledger_desk import CREDIT, LedgerDesk, admit, capture, opened

from farebox.admission.commands import Capture, Extend, OpenHold, Void
from farebox.admission.state import Stale
from farebox.faults import LawBroken
from farebox.ids import KeyId
from farebox.ledger.commands import Adjust, Chargeback, Grant, Purchase, RefundBack, RefundDone, RefundStart, Side
from farebox.ledger.posting import ROUTES
from farebox.store.id_source import new_id

CUSTOMER_SIDES = {Side.CUSTOMER, Side.REFUNDING}


def test_no_route_leads_from_a_customer_to_a_customer() -> None:
    """Only aside for the same customer's refund, and back."""
    inside = {route for routes in ROUTES.values() for route in routes if set(route) <= CUSTOMER_SIDES}
    assert inside == {(Side.CUSTOMER, Side.REFUNDING), (Side.REFUNDING, Side.CUSTOMER)}


@pytest.mark.parametrize(
    "command", [Purchase, Grant, Adjust, RefundStart, RefundDone, RefundBack, Chargeback, Capture, Void, Extend]
)
def test_no_command_names_an_account_beside_the_one_it_is_done_under(command: type) -> None:
    assert not [name for name in command.__struct_fields__ if "account" in name]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "table", ["entries", "charges", "holds", "lots", "api_keys", "idempotency", "kept_answers", "responses"]
)
async def test_every_row_of_money_belongs_to_one_account_and_is_found_by_it(desk: LedgerDesk, table: str) -> None:
    columns = await desk.owner.fetch(
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)",
        table,
    )
    assert columns[0]["attname"] == "account_id"
    named = await desk.owner.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attname LIKE '%account%' AND attnum > 0",
        table,
    )
    assert [row["attname"] for row in named] == ["account_id"]


async def test_a_key_spends_no_credits_but_its_own_accounts(desk: LedgerDesk) -> None:
    writer = await desk.node()
    rich, poor = await desk.customer(CREDIT), await desk.customer()
    answer = await admit(writer, rich, 10, key_id=poor.key_id)
    assert isinstance(answer, Stale)
    assert isinstance(await admit(writer, poor, 10, account_id=rich.account_id), Stale)
    assert isinstance(await admit(writer, rich, 10, key_id=KeyId(new_id("key"))), Stale)
    assert await desk.available(rich) == CREDIT


async def test_a_hold_of_one_account_cannot_be_charged_to_another(desk: LedgerDesk) -> None:
    writer = await desk.node()
    rich, other = await desk.customer(CREDIT), await desk.customer(CREDIT)
    hold = await opened(writer, rich, 10)
    await opened(writer, other, 10)
    forged = OpenHold(replace(hold.hold, account_id=other.account_id, key_id=other.key_id), 0, hold.model)
    with pytest.raises(LawBroken, match="Law 2"):
        await capture(writer, forged, 10)
    await capture(writer, hold, 10)
    assert (await desk.available(rich), await desk.available(other)) == (CREDIT - 10, CREDIT - 10)
    assert [row["amount"] for row in await desk.charges(other)] == []
