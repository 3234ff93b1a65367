"""Accounts: opened, read, changed under their lock, given credits once."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.ledger_desk import CREDIT, LedgerDesk, admit, capture, opened

from farebox.admission.commands import Opened, Refused
from farebox.admission.refusals import RefusalCode
from farebox.admission.state import Budget, BudgetAction, Period, Stale
from farebox.ids import AccountId
from farebox.ledger.commands import LedgerRefusal, LotCategory
from farebox.money import Nano
from farebox.store.accounts import Accounts, GrantTerms, Moved
from farebox.store.id_source import new_id


async def accounts_of(desk: LedgerDesk) -> Accounts:
    return Accounts(desk.pool, await desk.node())


async def test_a_new_account_has_its_tier_and_its_starter_credits(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    account = await accounts.create("Ada", tier="pro", email="ada@example.org", starter=Nano(5 * CREDIT))
    assert (account.name, account.tier, account.email, account.suspended) == ("Ada", "pro", "ada@example.org", False)
    assert (account.available, account.held, account.owed) == (5 * CREDIT, 0, 0)
    lots = await desk.owner.fetch("SELECT category, amount FROM lots")
    assert [tuple(lot) for lot in lots] == [("starter", 5 * CREDIT)]


async def test_an_account_needs_a_tier_that_exists(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    with pytest.raises(KeyError):
        await accounts.create("Ada", tier="platinum")
    assert await accounts.page() == []


async def test_accounts_are_found_by_id_name_and_email_unless_two_share_it(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    ada = await accounts.create("Ada", tier="free", email="ada@example.org")
    await accounts.create("Twin", tier="free")
    await accounts.create("Twin", tier="free")
    assert await accounts.find(ada.id) == await accounts.find("Ada") == await accounts.find("ada@example.org") == ada.id
    assert await accounts.find("Twin") is None
    assert await accounts.find("nobody") is None


async def test_accounts_are_paged_in_the_order_of_their_ids(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    made = sorted([(await accounts.create(f"a{place}", tier="free")).id for place in range(5)])
    first = await accounts.page(limit=3)
    rest = await accounts.page(first[-1].id, limit=3)
    assert [account.id for account in (*first, *rest)] == made


@pytest.mark.parametrize("times", [3])
async def test_the_same_key_gives_once(desk: LedgerDesk, times: int) -> None:
    accounts = await accounts_of(desk)
    customer = await desk.customer()
    answers = await asyncio.gather(
        *(accounts.grant(customer.account_id, Nano(CREDIT), key="gift", reason="welcome") for _ in range(times))
    )
    assert all(isinstance(answer, Moved) for answer in answers)
    assert len({answer.move_id for answer in answers if isinstance(answer, Moved)}) == 1
    assert sum(answer.repeated for answer in answers if isinstance(answer, Moved)) == times - 1
    assert await desk.available(customer) == CREDIT
    assert [entry["reason"] for entry in await desk.entries(customer)] == ["welcome"]


async def test_a_key_of_a_grant_is_no_key_of_an_adjustment(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    customer = await desk.customer()
    await accounts.grant(customer.account_id, Nano(CREDIT), key="1")
    await accounts.adjust(customer.account_id, Nano(-400), key="1", reason="typed too much")
    await accounts.adjust(customer.account_id, Nano(-400), key="1", reason="typed too much")
    assert await desk.available(customer) == CREDIT - 400


async def test_a_refused_grant_leaves_its_key_free(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    customer = await desk.customer()
    assert await accounts.grant(customer.account_id, Nano(0), key="1") is LedgerRefusal.AMOUNT_OUT_OF_RANGE
    assert isinstance(await accounts.grant(customer.account_id, Nano(1), key="1"), Moved)


async def test_an_adjustment_says_why_and_what_it_corrects(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    customer = await desk.customer()
    given = await accounts.grant(customer.account_id, Nano(CREDIT))
    assert isinstance(given, Moved)
    await accounts.adjust(customer.account_id, Nano(-CREDIT), corrects=given.move_id, reason="wrong account")
    newest, oldest = await accounts.statement(customer.account_id)
    assert (newest.move, newest.corrects, newest.reason) == ("adjust", given.move_id, "wrong account")
    assert (oldest.move, oldest.amount, oldest.version) == ("grant", CREDIT, 1)
    assert await accounts.statement(customer.account_id, before=newest.move_id) == [oldest]


async def test_a_grant_that_has_expired_already_gives_nothing_to_spend(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    customer = await desk.customer()
    given = await accounts.grant(customer.account_id, Nano(CREDIT), GrantTerms(LotCategory.PLAN, expires_us=1))
    assert isinstance(given, Moved)
    assert given.available == await desk.available(customer) == 0


async def test_a_change_of_tier_counts_from_the_next_request_on(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    node = next(iter(desk.noted))
    customer = await desk.customer(CREDIT, tier="free")
    assert sum([isinstance(await admit(node, customer, 1), Opened) for _ in range(12)]) == 10
    await accounts.set_tier(customer.account_id, "basic")
    assert isinstance(await admit(node, customer, 1), Stale)
    customer = await desk.current(customer)
    assert sum([isinstance(await admit(node, customer, 1), Opened) for _ in range(45)]) == 40
    with pytest.raises(KeyError):
        await accounts.set_tier(customer.account_id, "platinum")
    with pytest.raises(KeyError):
        await accounts.set_tier(AccountId(new_id("acct")), "pro")


async def test_a_suspended_account_may_be_lifted_again(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    node = next(iter(desk.noted))
    customer = await desk.customer(CREDIT)
    await accounts.set_suspended(customer.account_id, True)
    refused = await admit(node, await desk.current(customer), 1)
    assert isinstance(refused, Refused)
    assert refused.refusal.code is RefusalCode.ACCOUNT_SUSPENDED
    await accounts.set_suspended(customer.account_id, False)
    await opened(node, await desk.current(customer), 1)


async def test_an_edited_budget_keeps_what_it_has_counted_and_a_new_one_starts_at_zero(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    node = next(iter(desk.noted))
    customer = await desk.customer(100 * CREDIT)
    await accounts.set_budgets(customer.account_id, [Budget("team", Nano(10 * CREDIT), Period.MONTHLY)])
    hold = await opened(node, await desk.current(customer), 4 * CREDIT)
    await accounts.set_budgets(
        customer.account_id,
        [Budget("team", Nano(5 * CREDIT), Period.MONTHLY), Budget("all", Nano(50 * CREDIT), Period.DAILY)],
    )
    refused = await admit(node, await desk.current(customer), 2 * CREDIT)
    assert isinstance(refused, Refused)
    assert (refused.refusal.code, refused.refusal.param) == (RefusalCode.BUDGET_EXCEEDED, "team")
    await capture(node, hold, CREDIT)
    await opened(node, await desk.current(customer), 4 * CREDIT)


async def test_a_warning_budget_is_announced_once_and_blocks_nothing(desk: LedgerDesk) -> None:
    accounts = await accounts_of(desk)
    node = next(iter(desk.noted))
    customer = await desk.customer(100 * CREDIT)
    budget = Budget("watch", Nano(10 * CREDIT), Period.MONTHLY, BudgetAction.WARN, (50, 100))
    await accounts.set_budgets(customer.account_id, [budget])
    customer = await desk.current(customer)
    told: list[list[int]] = []
    for charge in (4 * CREDIT, 2 * CREDIT, 2 * CREDIT, 9 * CREDIT, CREDIT):
        ended = await capture(node, await opened(node, customer, charge), charge)
        told.append([announcement.threshold for announcement in ended.announcements])
    assert told == [[], [50], [], [100], []]


@pytest.mark.parametrize(
    "budgets",
    [
        [Budget("a", Nano(-1))],
        [Budget("a", Nano(1), thresholds=(0,))],
        [Budget("a", Nano(1)), Budget("a", Nano(2))],
    ],
)
async def test_d18_a_budget_that_makes_no_sense_is_not_set(desk: LedgerDesk, budgets: list[Budget]) -> None:
    accounts = await accounts_of(desk)
    customer = await desk.customer()
    with pytest.raises(ValueError, match=r"limit|thresholds|same id"):
        await accounts.set_budgets(customer.account_id, budgets)
    assert (await desk.account(customer))["budgets"] == "[]"
