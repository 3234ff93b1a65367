"""The ledger writer under load, over several nodes, and when something is in its way."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence

import asyncpg
import pytest
from tests.support.cut_wire import CutWire
from tests.support.ledger_desk import (
    CREDIT,
    Customer,
    LedgerDesk,
    admission,
    admit,
    all_of,
    asks,
    capture,
    claim,
    grant,
    opened,
    tier_named,
    until,
    void,
)

from farebox.admission.commands import Answer, Opened, Refused
from farebox.admission.refusals import RefusalCode
from farebox.admission.state import Budget, Limits, Period, Rules, Stale
from farebox.faults import LawBroken, LedgerUnavailable
from farebox.ids import AccountId
from farebox.money import Nano
from farebox.store.accounts import Accounts
from farebox.store.api_keys import KeyChange, NewKey
from farebox.store.id_source import new_id
from farebox.store.leases import Leases
from farebox.store.ledger_rows import KeySettings
from farebox.store.ledger_writer import LedgerWriter
from farebox.store.postgres import connect_writer

SECOND_US = 1_000_000


def counted(answers: Sequence[Answer]) -> int:
    """How many were admitted."""
    return sum(isinstance(answer, Opened) for answer in answers)


async def ask_everywhere(
    nodes: Sequence[LedgerWriter], customer: Customer, times: int, amount: int = 0
) -> list[Answer]:
    """So many admissions at once, spread over the nodes."""
    return await all_of([admit(nodes[each % len(nodes)], customer, amount) for each in range(times)])


# Limits across nodes ------------------------------------------------------------------------


async def test_d10_a_key_cap_is_exact_across_three_nodes(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(1_000 * CREDIT)
    await desk.api_keys(nodes[0]).edit(
        customer.account_id, customer.key_id, KeyChange(cap=Budget("cap", Nano(7 * CREDIT)))
    )
    customer = await desk.current(customer)
    answers = await ask_everywhere(nodes, customer, 60, CREDIT)
    assert counted(answers) == 7
    assert {a.refusal.code for a in answers if isinstance(a, Refused)} == {RefusalCode.KEY_LIMIT_REACHED}
    await all_of([capture(nodes[0], answer.open, CREDIT // 2) for answer in answers if isinstance(answer, Opened)])
    assert counted(await ask_everywhere(nodes, customer, 60, CREDIT)) == 3, "3.5 credits of the cap are left"


async def test_d10_an_accounts_budget_is_exact_across_three_nodes_and_all_its_keys(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(1_000 * CREDIT)
    other_key = await desk.api_keys(nodes[0]).create(customer.account_id, "second")
    await Accounts(desk.pool, nodes[0]).set_budgets(
        customer.account_id, [Budget("team", Nano(9 * CREDIT), Period.MONTHLY)]
    )
    customer = await desk.current(customer)
    assert isinstance(other_key, NewKey)
    second = Customer(customer.account_id, other_key.id, customer.account_version)
    answers = await all_of([admit(nodes[each % 3], customer if each % 2 else second, CREDIT) for each in range(60)])
    assert counted(answers) == 9
    assert {a.refusal.code for a in answers if isinstance(a, Refused)} == {RefusalCode.BUDGET_EXCEEDED}


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ({"requests_per_minute": 50}, "requests_per_minute"),
        ({"requests_per_day": 50}, "requests_per_day"),
        ({"concurrency": 50}, "concurrency"),
        ({"tokens_per_minute": 50}, "tokens_per_minute"),
    ],
)
async def test_d11_a_limit_is_exact_under_500_at_once_on_three_nodes(
    desk: LedgerDesk, limit: dict[str, int], name: str
) -> None:
    rules = tier_named("enterprise", **limit)
    nodes = [await desk.node(rules=lambda: rules) for _ in range(3)]
    customer = await desk.customer(CREDIT)
    answers = await ask_everywhere(nodes, customer, 500)
    assert counted(answers) == 50
    refused = [answer.refusal for answer in answers if isinstance(answer, Refused)]
    assert {(refusal.code, refusal.param) for refusal in refused} == {(RefusalCode.RATE_LIMIT_EXCEEDED, name)}
    assert all(refusal.retry_after_s for refusal in refused)


async def test_d11_a_keys_own_limit_counts_beside_the_accounts(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(CREDIT)
    change = KeyChange(settings=KeySettings(limits=Limits(requests_per_minute=10)))
    await desk.api_keys(nodes[0]).edit(customer.account_id, customer.key_id, change)
    assert counted(await ask_everywhere(nodes, await desk.current(customer), 100)) == 10


async def test_d12_a_cap_edited_while_it_is_spent_loses_nothing(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(1_000 * CREDIT)
    keys = desk.api_keys(nodes[0])
    await keys.edit(customer.account_id, customer.key_id, KeyChange(cap=Budget("cap", Nano(900 * CREDIT))))
    charged: list[int] = []

    async def spend(node: LedgerWriter) -> None:
        for _ in range(20):
            answer = await admit(node, await desk.current(customer), 2 * CREDIT)
            if isinstance(answer, Opened):
                charged.append((await capture(node, answer.open, CREDIT + len(charged))).amount)

    async def edit() -> None:
        for limit in range(900, 920):
            await keys.edit(customer.account_id, customer.key_id, KeyChange(cap=Budget("cap", Nano(limit * CREDIT))))
            await asyncio.sleep(0.005)

    await asyncio.gather(edit(), *(spend(node) for node in nodes for _ in range(2)))
    [key] = await keys.list(customer.account_id)
    assert key.cap is not None
    assert (key.cap.limit, key.cap.used, key.cap.held) == (919 * CREDIT, sum(charged), 0)
    assert key.spent == sum(charged) > 20 * CREDIT


# Settings, prices, catalogue ------------------------------------------------------------------


async def test_a_change_on_one_node_is_seen_by_the_next_request_on_every_node(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customer = await desk.customer(CREDIT)
    for node in nodes:
        await opened(node, customer, 1)
    await desk.api_keys(nodes[0]).revoke(customer.account_id, customer.key_id)
    for node in nodes:
        assert isinstance(await admit(node, customer, 1), Stale)
        refused = await admit(node, await desk.current(customer), 1)
        assert isinstance(refused, Refused)
        assert refused.refusal.code is RefusalCode.KEY_REVOKED


async def test_suspending_an_account_stops_its_next_request_and_lets_the_running_one_end(desk: LedgerDesk) -> None:
    one, other = await desk.node(), await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(one, customer, 100)
    await Accounts(desk.pool, other).set_suspended(customer.account_id, True)
    refused = await admit(one, await desk.current(customer), 1)
    assert isinstance(refused, Refused)
    assert refused.refusal.code is RefusalCode.ACCOUNT_SUSPENDED
    assert (await capture(one, hold, 60)).amount == 60


async def test_a_newer_catalogue_reaches_every_node_with_its_next_write(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(2)]
    customer = await desk.customer(CREDIT)
    await desk.owner.execute("UPDATE catalogue_state SET version = 5")
    answers = await ask_everywhere(nodes, customer, 8)
    assert all(isinstance(answer, Stale) for answer in answers)
    assert [node.catalogue_seen for node in nodes] == [5, 5]
    for node in nodes:
        await opened(node, customer, 1, catalogue_version=5)


async def test_an_account_whose_tier_is_gone_is_not_guessed_at(desk: LedgerDesk) -> None:
    node = await desk.node(rules=lambda: Rules(()))
    customer = await desk.customer()
    with pytest.raises(LawBroken, match="Law 6"):
        await admit(node, customer, 0)


# Together and alone ---------------------------------------------------------------------------


async def test_what_waits_is_committed_together(desk: LedgerDesk) -> None:
    node = await desk.node()
    customers = [await desk.customer(CREDIT) for _ in range(4)]
    noted = desk.noted[node]
    noted.batches.clear()
    holds = await all_of([opened(node, customers[each % 4], 10) for each in range(200)])
    await all_of([capture(node, hold, 5) for hold in holds])
    assert sum(noted.batches) == 400
    assert len(noted.batches) <= 20


async def test_one_admission_asked_twice_at_once_opens_one_hold(desk: LedgerDesk) -> None:
    node = await desk.node()
    customer = await desk.customer(CREDIT)
    command = admission(node, customer, 10)
    first, second = await all_of([node.submit(command, patience_s=5) for _ in range(2)])
    assert isinstance(first, Opened)
    assert isinstance(second, Opened)
    assert first.open == second.open
    assert len(await desk.holds(customer)) == 1


async def test_work_on_an_unknown_account_is_refused(desk: LedgerDesk) -> None:
    node = await desk.node()
    with pytest.raises(KeyError):
        await grant(node, AccountId(new_id("acct")), 1)


async def test_the_writer_knows_about_what_the_databases_clock_says(desk: LedgerDesk) -> None:
    node = await desk.node()
    await opened(node, await desk.customer(CREDIT), 1)
    assert abs(node.database_now_us() - await desk.owner.fetchval("SELECT unix_us()")) < SECOND_US


# In the way -----------------------------------------------------------------------------------


async def test_a_frozen_node_holds_an_account_for_three_seconds_at_most(desk: LedgerDesk) -> None:
    node = await desk.node()
    frozen_out, free = await desk.customer(CREDIT), await desk.customer(CREDIT)
    frozen = await connect_writer(desk.dsn)
    try:
        await frozen.execute("BEGIN")
        await frozen.execute("SELECT FROM accounts WHERE id = $1 FOR NO KEY UPDATE", frozen_out.account_id)
        started = time.monotonic()
        asked = asyncio.create_task(opened(node, frozen_out, 1))
        waits: list[float] = []
        while not asked.done():
            begun = time.monotonic()
            await opened(node, free, 1)
            waits.append(time.monotonic() - begun)
        await asked
        assert time.monotonic() - started < 3.5
        assert len(waits) >= 3, "the other account was held up as long as the frozen one"
        assert max(waits) < 1.5
    finally:
        frozen.terminate()


async def test_nodes_over_the_same_accounts_never_deadlock(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(3)]
    customers = [await desk.customer(1_000 * CREDIT) for _ in range(6)]
    chance = random.Random(5)
    until_s = time.monotonic() + 4

    async def busy(node: LedgerWriter) -> None:
        while time.monotonic() < until_s:
            customer = chance.choice(customers)
            if chance.random() < 0.1:
                await grant(node, customer.account_id, 100)
            else:
                await capture(node, await opened(node, customer, 1_000), 900)

    await asyncio.gather(*(busy(node) for node in nodes for _ in range(8)))
    assert "DeadlockDetectedError" not in [why for noted in desk.noted.values() for why in noted.failures]
    assert await desk.owner.fetchval("SELECT count(*) FROM charges") > 100


async def test_d04_whatever_breaks_holds_are_those_of_running_requests(desk: LedgerDesk, wire: CutWire) -> None:
    """Cuts, callers who leave, callers who give up, all at once; then every hold belongs to a request that knows it."""
    node = await desk.node(wire.dsn)
    customer = await desk.customer(1_000 * CREDIT)
    chance = random.Random(4)
    kept: set[str] = set()

    async def request() -> None:
        try:
            answer = await node.submit(admission(node, customer, 1_000), patience_s=chance.uniform(0.05, 5))
        except LedgerUnavailable:
            return
        assert isinstance(answer, Opened)
        kept.add(answer.open.hold.id)
        if chance.random() < 0.7:
            await asyncio.shield(capture(node, answer.open, 600))
            kept.discard(answer.open.hold.id)

    async def chaos() -> None:
        for _ in range(8):
            await asyncio.sleep(chance.uniform(0.05, 0.2))
            wire.cut_now()

    async def impatient() -> None:
        for _ in range(20):
            task = asyncio.create_task(node.submit(admission(node, customer, 1_000), patience_s=5))
            await asyncio.sleep(chance.uniform(0, 0.05))
            if not task.cancel():
                answer = await task
                assert isinstance(answer, Opened)
                kept.add(answer.open.hold.id)

    await asyncio.gather(chaos(), *(impatient() for _ in range(3)), *(request() for _ in range(150)))

    async def held() -> set[str]:
        return {row["id"] for row in await desk.holds(customer)}

    await until(held, kept)


async def test_d09_every_answered_charge_is_in_the_database(desk: LedgerDesk, wire: CutWire) -> None:
    """The connection is cut again and again; nothing that was answered waits in memory or is lost."""
    node = await desk.node(wire.dsn)
    customer = await desk.customer(1_000 * CREDIT)
    answered: dict[str, int] = {}

    async def spend(place: int) -> None:
        for turn in range(12):
            hold = await opened(node, customer, 1_000)
            amount = (await capture(node, hold, place * 100 + turn)).amount
            [seen] = await desk.pool.fetch("SELECT amount FROM charges WHERE hold_id = $1", hold.hold.id)
            assert seen["amount"] == amount == place * 100 + turn
            answered[hold.hold.id] = amount

    async def cut() -> None:
        for _ in range(8):
            await asyncio.sleep(0.05)
            wire.cut_now()

    await asyncio.gather(cut(), *(spend(place) for place in range(8)))
    assert {row["hold_id"]: row["amount"] for row in await desk.charges(customer)} == answered


async def test_the_writer_asks_for_durable_commits(desk: LedgerDesk) -> None:
    connection = await connect_writer(desk.dsn)
    try:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        assert await connection.fetchval("SELECT current_user") == "farebox_app"
    finally:
        await connection.close()


# Lots that expire -----------------------------------------------------------------------------


async def test_credits_that_expire_under_a_hold_are_spent_first_and_the_rest_goes(desk: LedgerDesk) -> None:
    """10 credits expire while 4 of them are held: 6 go at once; of the 4, what is charged burns, what is not goes."""
    node = await desk.node()
    customer = await desk.customer(20 * CREDIT)
    soon_us = await desk.owner.fetchval("SELECT unix_us()") + SECOND_US
    await grant(node, customer.account_id, 10 * CREDIT, expires_us=soon_us)
    hold = await opened(node, customer, 4 * CREDIT)
    await until(lambda: desk.owner.fetchval("SELECT unix_us() > $1", soon_us))
    await void(node, await opened(node, customer, CREDIT))
    account = await desk.account(customer)
    assert (account["available"], account["held"]) == (20 * CREDIT, 4 * CREDIT)
    answer = await capture(node, hold, 3 * CREDIT)
    assert (answer.amount, answer.available) == (3 * CREDIT, 20 * CREDIT)
    expired = [entry["amount"] for entry in await desk.entries(customer) if entry["credit"] == "expired"]
    assert sorted(expired) == [CREDIT, 6 * CREDIT]


async def test_many_at_once_across_an_expiry_all_get_their_answer(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(2)]
    customer = await desk.customer(5 * CREDIT)
    soon_us = await desk.owner.fetchval("SELECT unix_us()") + SECOND_US // 2
    await grant(nodes[0], customer.account_id, 5 * CREDIT, expires_us=soon_us)
    holds = [await opened(nodes[0], customer, CREDIT // 4) for _ in range(8)]
    await until(lambda: desk.owner.fetchval("SELECT unix_us() > $1", soon_us))
    answers, ends = await asyncio.gather(
        ask_everywhere(nodes, customer, 30, CREDIT),
        all_of([capture(nodes[each % 2], hold, CREDIT // 8) for each, hold in enumerate(holds)]),
    )
    assert counted(answers) == 5
    assert [end.amount for end in ends] == [CREDIT // 8] * 8
    assert await desk.available(customer) == 0


# Leases ---------------------------------------------------------------------------------------


async def test_an_idle_writer_takes_a_lost_lease_back_by_itself(desk: LedgerDesk, wire: CutWire) -> None:
    """Otherwise a stream that says nothing to the ledger for a while would lose its hold to another process."""
    node, other = await desk.node(wire.dsn), await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(node, customer, 100)
    leases = Leases(desk.pool, other)
    wire.cut_now()
    for _ in range(4):
        await asyncio.sleep(1)
        assert await leases.look() == 0
    assert wire.connections == 2
    await capture(node, hold, 50)
    assert await desk.ends(hold.hold.id) == [("end", "captured", 50)]


async def test_a_process_that_was_taken_for_dead_goes_on_under_a_new_number(desk: LedgerDesk, wire: CutWire) -> None:
    node, other = await desk.node(wire.dsn), await desk.node()
    customer = await desk.customer(CREDIT)
    hold = await opened(node, customer, 100)
    before = node.boot
    wire.refusing = True
    wire.cut_now()
    waiting = asyncio.create_task(node.submit(admission(node, customer, 10), patience_s=10))
    leases = Leases(desk.pool, other)
    await until(leases.look, 1)
    await until(lambda: desk.owner.fetchval("SELECT count(*) FROM boots WHERE number = $1", before), 0)
    wire.refusing = False
    assert isinstance(await waiting, Opened)
    assert node.boot != before
    [row] = await desk.holds(customer)
    assert row["boot"] == node.boot
    assert await desk.ends(hold.hold.id) == [("end", "voided", 0)]


async def test_two_writers_cannot_share_a_lease(desk: LedgerDesk) -> None:
    boot_id = new_id("boot")
    await desk.node(boot_id=boot_id)
    with pytest.raises(LedgerUnavailable, match="lease"):
        await desk.node(boot_id=boot_id)


async def test_a_request_without_tokens_is_counted_and_corrected_in_its_own_second(desk: LedgerDesk) -> None:
    rules = tier_named("enterprise", tokens_per_minute=1_000)
    node = await desk.node(rules=lambda: rules)
    customer = await desk.customer(CREDIT)
    hold = await opened(node, customer, 0, request=asks(customer, input_tokens=900))
    assert isinstance(await admit(node, customer, 0, request=asks(customer, input_tokens=200)), Refused)
    await capture(node, hold, 0, tokens_used=100)
    await opened(node, customer, 0, request=asks(customer, input_tokens=900))


async def test_the_database_refuses_what_the_machine_would_never_write(desk: LedgerDesk) -> None:
    """The same rule stands as a constraint: a hold ends once, and a charge is the sum of its parts."""
    node = await desk.node()
    customer = await desk.customer(CREDIT)
    await capture(node, await opened(node, customer, 10), 5)
    for statement in (
        "INSERT INTO charges SELECT * FROM charges",
        "INSERT INTO entries SELECT * FROM entries",
        "UPDATE accounts SET available = -1",
        "UPDATE accounts SET held = -1",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await desk.owner.execute(statement)


async def test_every_text_and_every_byte_arrives_as_it_was_sent(desk: LedgerDesk) -> None:
    node = await desk.node()
    customer = await desk.customer(CREDIT)
    odd, binary = """'"\\ {}[],$1::text; é 漢 🜚 \t\n""", bytes(range(256))
    hold = await opened(node, customer, 10, model=odd, described=json.dumps({"model": odd}), claim=claim(odd, binary))
    receipt = json.dumps({"note": odd, "number": 2**63 - 1})
    await capture(node, hold, 5, stamp=odd, receipt=receipt, keyed=True, kept=binary, fingerprint=binary[::-1])
    [charge] = await desk.charges(customer)
    assert (charge["model"], charge["stamp"], charge["receipt"]) == (odd, odd, receipt)
    [claimed] = await desk.owner.fetch("SELECT key, fingerprint, completed FROM idempotency")
    assert tuple(claimed) == (odd, binary, True)
    [kept] = await desk.owner.fetch("SELECT fingerprint, sealed FROM kept_answers")
    assert tuple(kept) == (binary[::-1], binary)
