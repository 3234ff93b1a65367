"""The catalogue: prices are added and never edited, every change is seen everywhere, keys lie sealed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import date
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace
from tests.support.cut_wire import CutWire
from tests.support.ledger_desk import LedgerDesk, until

from farebox.admission.state import Limits, LimitScope
from farebox.admission.tiers import DEFAULT_TIERS, named
from farebox.faults import LedgerUnavailable
from farebox.store.catalogue import Catalogue, PricedModel, Snapshot
from farebox.store.catalogue_changes import CatalogueChanges, ChannelRow
from farebox.store.postgres import open_pool
from farebox.tariff.meters import Meter
from farebox.tariff.price_list import Model, ModelType
from farebox.tariff.rate_card import RateCard
from farebox.upstream.secrets import CannotOpen, KeyRing

RING = KeyRing({b"test": b"\x07" * 32})
HOUR_US = 3_600_000_000


def sold(name: str, price: str = "2.50", **facts: Any) -> Model:
    """A chat model at so many credits a million tokens in and out."""
    usual: dict[str, Any] = {"display_name": name, "context_length": 128_000, "max_output_tokens": 4_096}
    card = RateCard(rates={Meter.INPUT: price, Meter.OUTPUT: price})
    return Model(
        id=name, provider="one", type=ModelType.CHAT, min_tier="free", price=card,
        source="https://example.com/prices", as_of=date(2026, 1, 1), **(usual | facts),
    )  # fmt: skip


def price_of(model: PricedModel, at_us: int) -> str | None:
    """The input price in force at a moment, per million tokens."""
    version = model.price_at(at_us)
    if version is None:
        return None
    numerator = version.card.plain.numerators[Meter.INPUT]
    return f"{numerator * 1_000_000 / version.card.plain.denominator / 1_000_000_000:g}"


class Shop:
    """A catalogue in memory, and a hand to change the one in the database."""

    def __init__(self, desk: LedgerDesk, catalogue: Catalogue, told: list[Snapshot]) -> None:
        self.desk = desk
        self.catalogue = catalogue
        self.changes = CatalogueChanges(desk.pool, RING)
        self.told = told

    async def now_us(self) -> int:
        return await self.desk.owner.fetchval("SELECT unix_us()")

    async def sell(self, *models: Model, starts_us: int | None = None) -> Any:
        return await self.changes.import_models(models, starts_us=starts_us, source="test")

    async def look(self) -> Snapshot:
        await self.catalogue.verify()
        return self.catalogue.current


def shop_of(desk: LedgerDesk, dsn: str | None = None, ring: KeyRing = RING) -> Shop:
    told: list[Snapshot] = []
    catalogue = Catalogue(dsn or desk.dsn, desk.pool, ring, limit_scope=LimitScope.ACCOUNT, changed=told.append)
    return Shop(desk, catalogue, told)


@pytest.fixture
async def shop(desk: LedgerDesk) -> Shop:
    shop = shop_of(desk)
    await shop.catalogue.load()
    return shop


@asynccontextmanager
async def watching(catalogue: Catalogue) -> AsyncIterator[None]:
    """With the catalogue following changes, as a serving process does."""
    task = asyncio.create_task(catalogue.watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


# Prices -----------------------------------------------------------------------------------------


async def test_a_fresh_database_has_the_default_tiers_and_nothing_for_sale(shop: Shop) -> None:
    current = shop.catalogue.current
    assert current.models == {}
    by_name = {tier.name: tier for tier in DEFAULT_TIERS}
    assert {name: replace(tier, rank=0) for name, tier in current.tiers.items()} == {
        name: replace(tier, rank=0) for name, tier in by_name.items()
    }
    assert [tier.name for tier in current.rules.tiers] == [tier.name for tier in DEFAULT_TIERS]


async def test_an_import_adds_versions_and_edits_none(shop: Shop) -> None:
    await shop.sell(sold("words", "2.50"))
    before = await shop.desk.owner.fetch("SELECT * FROM price_versions")
    imported = await shop.sell(sold("words", "3"), sold("more", "1"))
    assert (imported.added, imported.repriced, imported.unchanged) == (("more",), ("words",), 0)
    after = await shop.desk.owner.fetch("SELECT * FROM price_versions ORDER BY version")
    assert after[: len(before)] == before
    assert len(after) == 3
    snapshot = await shop.look()
    assert [version.card.id for version in snapshot.models["words"].versions] == ["1", "2"]


async def test_the_same_list_again_adds_nothing(shop: Shop) -> None:
    await shop.sell(sold("words"))
    imported = await shop.sell(sold("words", display_name="Words!"))
    assert (imported.added, imported.repriced, imported.unchanged) == ((), (), 1)
    assert (await shop.look()).models["words"].model.display_name == "Words!"


async def test_prices_cannot_start_in_the_past(shop: Shop) -> None:
    with pytest.raises(ValueError, match="past"):
        await shop.sell(sold("words"), starts_us=await shop.now_us() - 1)
    assert await shop.desk.owner.fetchval("SELECT count(*) FROM models") == 0
    assert await shop.catalogue.verify(), "a refused import is no change"


async def test_the_price_in_force_is_chosen_by_time(shop: Shop) -> None:
    await shop.sell(sold("words", "1"))
    now_us = await shop.now_us()
    await shop.sell(sold("words", "2"), starts_us=now_us + HOUR_US)
    await shop.sell(sold("words", "3"), starts_us=now_us + 2 * HOUR_US)
    model = (await shop.look()).models["words"]
    at = [now_us - HOUR_US, now_us, now_us + HOUR_US - 1, now_us + HOUR_US, now_us + 2 * HOUR_US, 2**62]
    assert [price_of(model, moment) for moment in at] == [None, "1", "1", "2", "3", "3"]
    assert [version.until_us for version in model.versions] == [now_us + HOUR_US, now_us + 2 * HOUR_US, None]


async def test_of_two_prices_from_one_moment_the_later_import_counts(shop: Shop) -> None:
    tomorrow_us = await shop.now_us() + 24 * HOUR_US
    await shop.sell(sold("words", "1"), starts_us=tomorrow_us)
    await shop.sell(sold("words", "2"), starts_us=tomorrow_us)
    model = (await shop.look()).models["words"]
    assert price_of(model, tomorrow_us) == "2"
    assert len(model.versions) == 1


async def test_a_price_from_now_on_counts_though_the_same_is_planned_for_later(shop: Shop) -> None:
    """What is imported is compared with the price in force at its start, not with the newest one written."""
    await shop.sell(sold("words", "1"))
    now_us = await shop.now_us()
    await shop.sell(sold("words", "2"), starts_us=now_us + HOUR_US)
    await shop.sell(sold("words", "2"))
    model = (await shop.look()).models["words"]
    assert price_of(model, await shop.now_us()) == "2"
    assert price_of(model, now_us) == "1"


async def test_a_model_taken_out_of_sale_keeps_its_prices(shop: Shop) -> None:
    await shop.sell(sold("words"))
    await shop.changes.disable_model("words")
    assert (await shop.look()).models == {}
    assert await shop.desk.owner.fetchval("SELECT count(*) FROM price_versions") == 1
    await shop.sell(sold("words"))
    assert list((await shop.look()).models) == ["words"]


async def test_d43_an_alias_and_its_model_are_one(shop: Shop) -> None:
    await shop.sell(sold("words", aliases=("words-latest", "w")))
    snapshot = await shop.look()
    assert snapshot.names["words-latest"] is snapshot.names["w"] is snapshot.names["words"] is snapshot.models["words"]
    assert list(snapshot.models) == ["words"]


async def test_a_price_already_compiled_is_not_compiled_again(shop: Shop) -> None:
    await shop.sell(sold("words"))
    card = (await shop.look()).models["words"].versions[0].card
    await shop.sell(sold("more"))
    assert (await shop.look()).models["words"].versions[0].card is card


@pytest.mark.parametrize("statement", ["UPDATE price_versions SET starts_us = 0", "DELETE FROM price_versions"])
async def test_a_price_cannot_be_edited_behind_our_back(shop: Shop, statement: str) -> None:
    await shop.sell(sold("words"))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="Law 7"):
        await shop.desk.owner.execute(statement)


# Changes are seen -------------------------------------------------------------------------------


async def test_every_change_raises_the_version_once(shop: Shop) -> None:
    versions = [(await shop.look()).version]
    basic = named(DEFAULT_TIERS, "basic")
    changes = [
        shop.sell(sold("words"), sold("more")),
        shop.changes.set_tier(replace(basic, limits=Limits(requests_per_minute=7))),
        shop.changes.put_channel(channel(), secrets=["sk-one"]),
        shop.changes.remove_channel("chan_1"),
        shop.changes.disable_model("words"),
    ]
    for change in changes:
        await change
        assert not await shop.catalogue.verify()
        assert await shop.catalogue.verify()
        versions.append(shop.catalogue.current.version)
    assert versions == list(range(versions[0], versions[0] + 6))
    assert shop.catalogue.current.tiers["basic"].limits.requests_per_minute == 7
    assert [snapshot.version for snapshot in shop.told] == versions


async def test_a_watching_process_hears_of_a_change_at_once(shop: Shop) -> None:
    other = shop_of(shop.desk)
    async with watching(other.catalogue):
        await until(lambda: other.catalogue.current.version, shop.catalogue.current.version)
        await asyncio.sleep(0.1)
        await shop.sell(sold("words"))
        await until(lambda: list(other.catalogue.current.models), ["words"], within_s=2)


async def test_a_watch_that_lost_its_connection_catches_up(desk: LedgerDesk, wire: CutWire) -> None:
    shop, other = shop_of(desk), shop_of(desk, wire.dsn)
    async with watching(other.catalogue):
        await until(lambda: other.catalogue.current.version, 1)
        wire.refusing = True
        wire.cut_now()
        await shop.sell(sold("words"))
        wire.refusing = False
        await until(lambda: list(other.catalogue.current.models), ["words"], within_s=3)


async def test_at_least_reads_only_when_it_must(shop: Shop) -> None:
    await shop.sell(sold("words"))
    await shop.catalogue.at_least(1)
    assert shop.catalogue.current.models == {}
    await shop.catalogue.at_least(2)
    assert list(shop.catalogue.current.models) == ["words"]


async def test_changes_at_once_are_all_there_afterwards(shop: Shop) -> None:
    await asyncio.gather(*(shop.sell(sold(f"model-{place}")) for place in range(4)))
    snapshot = await shop.look()
    assert len(snapshot.models) == 4
    assert snapshot.version == 5


async def test_a_catalogue_that_cannot_be_read_says_so(desk: LedgerDesk, wire: CutWire) -> None:
    async with open_pool(wire.dsn, size=1) as pool:
        catalogue = Catalogue(wire.dsn, pool, RING, limit_scope=LimitScope.ACCOUNT, changed=lambda snapshot: None)
        wire.refusing = True
        wire.cut_now()
        with pytest.raises(LedgerUnavailable):
            await catalogue.load()
        with pytest.raises(LedgerUnavailable):
            await catalogue.verify()
        wire.refusing = False
        await catalogue.load()


# Channels and their keys --------------------------------------------------------------------------


def channel(**fields: Any) -> ChannelRow:
    plain = ChannelRow("chan_1", "main", "openai", "https://api.example.com", options={"models": {"words": "up-words"}})
    return replace(plain, **fields)


async def test_a_channel_offers_its_models(shop: Shop) -> None:
    await shop.sell(sold("words"), sold("more"))
    await shop.changes.put_channel(channel(), secrets=["sk-one", "sk-two"])
    snapshot = await shop.look()
    [stored] = snapshot.channels
    assert (stored.name, stored.models) == ("main", {"words": "up-words"})
    assert {key.secret for key in stored.keys} == {"sk-one", "sk-two"}
    assert (snapshot.models["words"].offers, snapshot.models["more"].offers) == (("chan_1",), ())


async def test_a_channel_for_every_model_offers_those_that_come_later_too(shop: Shop) -> None:
    await shop.changes.put_channel(channel(options={"models": {"*": "*", "words": "up-words"}}), secrets=["sk-one"])
    await shop.sell(sold("words"), sold("more"))
    [stored] = (await shop.look()).channels
    assert stored.models == {"words": "up-words", "more": "more"}


async def test_upstream_keys_lie_sealed_each_to_its_own_row(shop: Shop) -> None:
    await shop.changes.put_channel(channel(), secrets=["sk-upstream-secret-1", "sk-upstream-secret-2"])
    rows = await shop.desk.owner.fetch("SELECT id, sealed, hint FROM channel_keys ORDER BY id")
    assert all(b"secret" not in row["sealed"] for row in rows)
    assert sorted(row["hint"] for row in rows) == ["…et-1", "…et-2"]
    with pytest.raises(CannotOpen):
        RING.open(rows[0]["sealed"], row=rows[1]["id"])
    stranger = shop_of(shop.desk, ring=KeyRing({b"else": b"\x08" * 32}))
    with pytest.raises(CannotOpen):
        await stranger.catalogue.load()


async def test_a_channel_edited_keeps_its_keys_unless_new_ones_are_given(shop: Shop) -> None:
    await shop.changes.put_channel(channel(), secrets=["sk-one"])
    await shop.changes.put_channel(channel(name="renamed", enabled=False))
    [stored] = (await shop.look()).channels
    assert (stored.name, stored.enabled, [key.secret for key in stored.keys]) == ("renamed", False, ["sk-one"])
    await shop.changes.put_channel(channel(), secrets=["sk-two"])
    [stored] = (await shop.look()).channels
    assert [key.secret for key in stored.keys] == ["sk-two"]


async def test_two_channels_cannot_share_a_name(shop: Shop) -> None:
    await shop.changes.put_channel(channel(), secrets=["sk-one"])
    with pytest.raises(ValueError, match="exists already"):
        await shop.changes.put_channel(channel(id="chan_2"), secrets=["sk-two"])
    assert await shop.changes.find_channel("main") == await shop.changes.find_channel("chan_1") == channel()
    await shop.changes.remove_channel("chan_1")
    assert await shop.changes.find_channel("main") is None
    assert (await shop.look()).channels == ()
