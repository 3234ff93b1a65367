"""API keys: shown once, found by their hash, changed under their account's lock, counters kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.cut_wire import CutWire, Moment, Step
from tests.support.ledger_desk import CREDIT, LedgerDesk, admit, capture, opened

from farebox.admission.commands import Opened, Refused
from farebox.admission.refusals import RefusalCode
from farebox.admission.state import Budget, Limits, Period, Stale
from farebox.ids import AccountId, KeyId
from farebox.money import Nano
from farebox.store.api_keys import ApiKeys, KeyChange, KeyRefusal, NewKey, new_secret
from farebox.store.id_source import new_id
from farebox.store.keyring import Keyring, digest_of
from farebox.store.ledger_rows import KeySettings
from farebox.tariff.billing_mode import BillingMode


async def made(keys: ApiKeys, account_id: AccountId, **wanted: Any) -> NewKey:
    """A key; the test fails when it is refused."""
    key = await keys.create(account_id, "key", **wanted)
    assert isinstance(key, NewKey)
    return key


async def test_a_key_is_shown_once_and_stored_as_a_hash(desk: LedgerDesk) -> None:
    keys = desk.api_keys(await desk.node())
    customer = await desk.customer()
    key = await made(keys, customer.account_id)
    assert key.secret.startswith("sk-")
    assert len(key.secret) == 55
    assert key.secret not in repr(key)
    everything = "".join(
        str(row) for row in await desk.owner.fetch("SELECT s.*, k.* FROM api_key_secrets s, api_keys k")
    )
    assert key.secret not in everything
    view = await Keyring(desk.pool).load(digest_of(key.secret))
    assert view is not None
    assert (view.key.id, view.account.id) == (key.id, customer.account_id)
    assert view.hint.endswith(key.secret[-4:])
    assert await Keyring(desk.pool).load(digest_of(new_secret())) is None


def test_secrets_are_256_bits_that_do_not_repeat() -> None:
    secrets = {new_secret() for _ in range(1_000)}
    assert len(secrets) == 1_000
    assert all(len({secret[place] for secret in secrets}) > 10 for place in range(3, 54))


async def test_a_tier_allows_so_many_keys_and_revoked_ones_do_not_count(desk: LedgerDesk) -> None:
    nodes = [await desk.node() for _ in range(2)]
    customer = await desk.customer(tier="free")
    asked = [desk.api_keys(nodes[each % 2]).create(customer.account_id, "key") for each in range(12)]
    answers = await asyncio.gather(*asked)
    keys = [answer for answer in answers if isinstance(answer, NewKey)]
    assert len(keys) == 4, "five, and the customer had one"
    assert {answer for answer in answers if not isinstance(answer, NewKey)} == {KeyRefusal.TOO_MANY_KEYS}
    await desk.api_keys(nodes[0]).revoke(customer.account_id, keys[0].id)
    await made(desk.api_keys(nodes[0]), customer.account_id)


async def test_an_edit_keeps_what_the_key_has_counted(desk: LedgerDesk) -> None:
    node = await desk.node()
    keys = desk.api_keys(node)
    customer = await desk.customer(100 * CREDIT)
    cap = Budget("cap", Nano(10 * CREDIT), Period.MONTHLY)
    await keys.edit(customer.account_id, customer.key_id, KeyChange(cap=cap))
    customer = await desk.current(customer)
    await capture(node, await opened(node, customer, 3 * CREDIT), 2 * CREDIT)
    running = await opened(node, customer, CREDIT)
    raised = Budget("cap", Nano(20 * CREDIT), Period.MONTHLY)
    await keys.edit(customer.account_id, customer.key_id, KeyChange(name="renamed", cap=raised))
    [key] = await keys.list(customer.account_id)
    assert key.cap is not None
    assert (key.name, key.cap.limit, key.cap.used, key.cap.held) == ("renamed", 20 * CREDIT, 3 * CREDIT, CREDIT)
    assert (key.running, key.spent) == (1, 2 * CREDIT)
    await capture(node, running, CREDIT)
    await keys.edit(customer.account_id, customer.key_id, KeyChange(cap=None))
    [key] = await keys.list(customer.account_id)
    assert key.cap is None
    assert key.spent == 3 * CREDIT


async def test_an_edit_leaves_alone_what_it_does_not_name(desk: LedgerDesk) -> None:
    keys = desk.api_keys(await desk.node())
    customer = await desk.customer()
    settings = KeySettings(models=("gpt-5",), limits=Limits(requests_per_minute=3))
    cap = Budget("cap", Nano(CREDIT))
    key = await made(keys, customer.account_id, settings=settings, cap=cap)
    await keys.edit(customer.account_id, key.id, KeyChange(name="renamed"))
    [stored] = [each for each in await keys.list(customer.account_id) if each.id == key.id]
    assert (stored.name, stored.settings) == ("renamed", settings)
    assert stored.cap is not None
    assert stored.cap.limit == CREDIT


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (KeySettings(enabled=False), RefusalCode.KEY_DISABLED),
        (KeySettings(expires_us=1), RefusalCode.KEY_EXPIRED),
        (KeySettings(models=("another-model",)), RefusalCode.MODEL_NOT_ALLOWED),
        (KeySettings(ip_ranges=("10.0.0.0/8",)), RefusalCode.IP_NOT_ALLOWED),
    ],
)
async def test_a_changed_setting_counts_from_the_next_request_on(
    desk: LedgerDesk, settings: KeySettings, code: RefusalCode
) -> None:
    one, other = await desk.node(), await desk.node()
    customer = await desk.customer(CREDIT)
    await opened(other, customer, 1)
    await desk.api_keys(one).edit(customer.account_id, customer.key_id, KeyChange(settings=settings))
    assert isinstance(await admit(other, customer, 1), Stale)
    refused = await admit(other, await desk.current(customer), 1)
    assert isinstance(refused, Refused)
    assert refused.refusal.code is code


async def test_a_revoked_key_stays_revoked(desk: LedgerDesk) -> None:
    keys = desk.api_keys(await desk.node())
    customer = await desk.customer(CREDIT)
    for _ in range(3):
        await keys.revoke(customer.account_id, customer.key_id)
    [key] = await keys.list(customer.account_id)
    assert key.settings.revoked_us is not None
    change = KeyChange(settings=KeySettings())
    assert await keys.edit(customer.account_id, customer.key_id, change) is KeyRefusal.REVOKED
    assert await keys.regenerate(customer.account_id, customer.key_id) is KeyRefusal.REVOKED


async def test_a_regenerated_key_is_the_same_key_with_another_secret(desk: LedgerDesk) -> None:
    node = await desk.node()
    keys, keyring = desk.api_keys(node), Keyring(desk.pool)
    customer = await desk.customer(CREDIT)
    first = await made(keys, customer.account_id)
    assert await keyring.load(digest_of(first.secret)) is not None
    second = await keys.regenerate(customer.account_id, first.id)
    assert isinstance(second, NewKey)
    assert second.id == first.id
    assert await keyring.load(digest_of(first.secret)) is None
    assert keyring.known(digest_of(first.secret)) is None
    view = await keyring.load(digest_of(second.secret))
    assert view is not None
    assert view.key.settings_version == 2, "so that a process that remembers the old secret looks again"


@pytest.mark.parametrize("moment", Moment)
async def test_a_key_made_across_a_cut_is_made_once(desk: LedgerDesk, wire: CutWire, moment: Moment) -> None:
    keys = desk.api_keys(await desk.node(wire.dsn))
    customer = await desk.customer(tier="free")
    for _ in range(3):
        await made(keys, customer.account_id)
    wire.cut(Step.COMMIT, moment)
    key = await made(keys, customer.account_id)
    assert len(await keys.list(customer.account_id)) == 5
    assert await Keyring(desk.pool).load(digest_of(key.secret)) is not None


@pytest.mark.parametrize("moment", Moment)
async def test_a_secret_changed_across_a_cut_is_the_one_that_was_shown(
    desk: LedgerDesk, wire: CutWire, moment: Moment
) -> None:
    keys = desk.api_keys(await desk.node(wire.dsn))
    customer = await desk.customer()
    wire.cut(Step.COMMIT, moment)
    key = await keys.regenerate(customer.account_id, customer.key_id)
    assert isinstance(key, NewKey)
    hashes = await desk.owner.fetch("SELECT hash FROM api_key_secrets")
    assert [row["hash"] for row in hashes] == [digest_of(key.secret)]


async def test_what_makes_no_sense_is_refused(desk: LedgerDesk) -> None:
    keys = desk.api_keys(await desk.node())
    customer = await desk.customer()
    for settings in (KeySettings(ip_ranges=("not an address",)), KeySettings(limits=Limits(requests_per_minute=0))):
        with pytest.raises(ValueError, match=r"address|at least 1"):
            await keys.create(customer.account_id, "key", settings=settings)
        with pytest.raises(ValueError, match=r"address|at least 1"):
            await keys.edit(customer.account_id, customer.key_id, KeyChange(settings=settings))
    with pytest.raises(ValueError, match="zero or more"):
        await keys.create(customer.account_id, "key", cap=Budget("cap", Nano(-1)))
    with pytest.raises(ValueError, match="zero or more"):
        await keys.edit(customer.account_id, customer.key_id, KeyChange(cap=Budget("cap", Nano(-1))))
    with pytest.raises(KeyError):
        await keys.edit(customer.account_id, KeyId(new_id("key")), KeyChange(name="x"))
    assert len(await keys.list(customer.account_id)) == 1


async def test_a_mode_that_is_only_shown_cannot_be_chosen(desk: LedgerDesk) -> None:
    keys = desk.api_keys(await desk.node())
    customer = await desk.customer()
    hybrid = KeySettings(billing_mode=BillingMode.HYBRID)
    refused = KeyRefusal.BILLING_MODE_NOT_APPLICABLE
    assert await keys.create(customer.account_id, "key", settings=hybrid) is refused
    assert await keys.edit(customer.account_id, customer.key_id, KeyChange(settings=hybrid)) is refused


async def test_a_cap_of_zero_spends_nothing(desk: LedgerDesk) -> None:
    node = await desk.node()
    customer = await desk.customer(CREDIT)
    await desk.api_keys(node).edit(customer.account_id, customer.key_id, KeyChange(cap=Budget("cap", Nano(0))))
    customer = await desk.current(customer)
    refused = await admit(node, customer, 1)
    assert isinstance(refused, Refused)
    assert refused.refusal.code is RefusalCode.KEY_LIMIT_REACHED
    assert isinstance(await admit(node, customer, 0), Opened)
