"""The catalogue in memory: tiers, models with their price versions, channels; and when it is too old.

A request is worked out on a snapshot. Its admission reads the catalogue's version under the
lock (see `ledger_session.write`), so a snapshot that is too old is noticed before any hold;
a refusal that follows from a snapshot is given only after `verify`. Prices are chosen by the
database's clock and never change: an import adds versions (Law 8).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import replace

from farebox.admission.state import Limits, LimitScope, Rules, Tier
from farebox.faults import LedgerUnavailable
from farebox.store import statements
from farebox.store.postgres import GONE, Connection, Pool, connect
from farebox.tariff.compiled import CompiledCard, compile_card
from farebox.tariff.price_list import Model
from farebox.tariff.rate_card import RateCard
from farebox.upstream.channel import Channel, channels_from
from farebox.upstream.secrets import KeyRing

NO_PRICE = RateCard()
EVERY_MODEL = "*"
_LISTEN_RETRY_S = 1.0
_LOOK_EVERY_S = 5.0


class PriceVersion(msgspec.Struct, frozen=True):
    """A rate card in force from a moment on, until the next version of its model."""

    version: int
    starts_us: int
    until_us: int | None
    card: CompiledCard
    cost_card: CompiledCard | None
    source: str


class OfferCost(msgspec.Struct, frozen=True):
    """What a channel takes for a model from a moment on."""

    version: int
    starts_us: int
    card: CompiledCard | None
    """None: the model's own cost card counts."""
    source: str


class PricedModel(msgspec.Struct, frozen=True):
    """A model, its prices over time, and the channels that offer it."""

    model: Model
    rank: int
    """Of its `min_tier`."""
    versions: tuple[PriceVersion, ...]
    offers: tuple[str, ...]
    spoken: frozenset[str] = frozenset()
    """The dialects of the channels that offer it."""
    costs: Mapping[str, tuple[OfferCost, ...]] = {}
    """By channel, where it has costs of its own for the model."""

    def price_at(self, now_us: int) -> PriceVersion | None:
        """The version in force; None before the first."""
        place = bisect_right(self.versions, now_us, key=lambda version: version.starts_us)
        return self.versions[place - 1] if place else None

    def cost_at(self, channel_id: str, price: PriceVersion, now_us: int) -> CompiledCard | None:
        """What we pay where a channel serves: its own cost card in force, else that of the price; None: not known."""
        for own in reversed(self.costs.get(channel_id, ())):
            if own.starts_us <= now_us:
                return own.card or price.cost_card
        return price.cost_card


class Snapshot(msgspec.Struct, frozen=True):
    """The catalogue as of one version."""

    version: int
    rules: Rules
    models: Mapping[str, PricedModel]
    """By id."""
    names: Mapping[str, PricedModel]
    """By id and alias."""
    channels: tuple[Channel, ...]
    tiers: Mapping[str, Tier]


EMPTY = Snapshot(0, Rules(()), {}, {}, (), {})


class Catalogue:
    """Keeps a current snapshot. `load` once, then `watch` until cancelled."""

    def __init__(
        self, dsn: str, pool: Pool, key_ring: KeyRing, *, limit_scope: LimitScope, changed: Callable[[Snapshot], None]
    ) -> None:
        self._dsn = dsn
        self._pool = pool
        self._key_ring = key_ring
        self._limit_scope = limit_scope
        self._changed = changed
        self._loading = asyncio.Lock()
        self.current = EMPTY

    def rules(self) -> Rules:
        """The settings admission follows, as of the current snapshot."""
        return self.current.rules

    async def load(self) -> None:
        """Read everything, in one consistent view. Raises `LedgerUnavailable`."""
        try:
            async with (
                self._loading,
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                snapshot = await self._read(connection)
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the catalogue cannot be read") from error
        if snapshot.version > self.current.version:
            self.current = snapshot
            self._changed(snapshot)

    async def at_least(self, version: int) -> None:
        """Be as new as this version."""
        if self.current.version < version:
            await self.load()

    async def verify(self) -> bool:
        """Ask the database whether the snapshot is current, and load if not. True: it was current."""
        try:
            version = await self._pool.fetchval(statements.load("catalogue")["version"])
        except (*GONE, asyncpg.PostgresError) as error:
            raise LedgerUnavailable("the catalogue cannot be read") from error
        if version <= self.current.version:
            return True
        await self.load()
        return False

    async def watch(self) -> None:
        """Follow the other processes' changes: by notification, and by looking every few seconds."""
        while True:
            try:
                connection = await connect(self._dsn)
                try:
                    await self._follow(connection)
                finally:
                    connection.terminate()
            except (LedgerUnavailable, asyncpg.PostgresError, *GONE):
                await asyncio.sleep(_LISTEN_RETRY_S)

    async def _follow(self, connection: Connection) -> None:
        news = asyncio.Event()
        await connection.add_listener("farebox_catalogue", _setting(news))
        connection.add_termination_listener(lambda _: news.set())
        while not connection.is_closed():
            await self.verify()
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await news.wait()
            except TimeoutError:
                continue
            news.clear()

    async def _read(self, connection: Connection) -> Snapshot:
        sql = statements.load("catalogue")
        version = await connection.fetchval(sql["version"])
        tiers = tuple(_tier(row) for row in await connection.fetch(sql["tiers"]))
        facts = {
            row["id"]: msgspec.json.decode(row["facts"], type=Model) for row in await connection.fetch(sql["models"])
        }
        versions = _versions_by_model(await connection.fetch(sql["price_versions"]), self._kept_cards())
        keys = await connection.fetch(sql["channel_keys"])
        rows = await connection.fetch(sql["channels"])
        channels = channels_from([self._channel(row, keys, facts) for row in rows])
        costs = _costs_by_model(await connection.fetch(sql["offer_costs"]), self._kept_costs())
        models = _priced(facts, versions, channels, {tier.name: tier.rank for tier in tiers})
        models = {name: replace(priced, costs=costs.get(name, {})) for name, priced in models.items()}
        names = {name: model for model in models.values() for name in (*model.model.aliases, model.model.id)}
        rules = Rules(tiers, self._limit_scope)
        return Snapshot(version, rules, models, names, channels, {tier.name: tier for tier in tiers})

    def _kept_cards(self) -> dict[int, PriceVersion]:
        """Versions compiled before; they never change."""
        return {each.version: each for model in self.current.models.values() for each in model.versions}

    def _kept_costs(self) -> dict[int, OfferCost]:
        every = (own for model in self.current.models.values() for costs in model.costs.values() for own in costs)
        return {each.version: each for each in every}

    def _channel(self, row: Any, keys: list[asyncpg.Record], models: Mapping[str, Model]) -> dict[str, Any]:
        options: dict[str, Any] = msgspec.json.decode(row["options"])
        served: dict[str, str] = options.pop("models", {})
        if served.pop(EVERY_MODEL, None) is not None:
            served = {name: name for name in models} | served
        return options | {
            "id": row["id"],
            "name": row["name"],
            "dialect": row["dialect"],
            "base_url": row["base_url"],
            "enabled": row["enabled"],
            "models": served,
            "keys": [self._upstream_key(key) for key in keys if key["channel_id"] == row["id"]],
        }

    def _upstream_key(self, row: Any) -> dict[str, Any]:
        secret = self._key_ring.open(row["sealed"], row=row["id"]).decode()
        return msgspec.json.decode(row["options"]) | {"id": row["id"], "secret": secret, "enabled": row["enabled"]}


def _setting(news: asyncio.Event) -> Callable[[Connection, int, str, object], None]:
    def heard(connection: Connection, pid: int, channel: str, payload: object) -> None:
        news.set()

    return heard


def _tier(row: Any) -> Tier:
    limits = Limits(row["requests_per_minute"], row["tokens_per_minute"], row["requests_per_day"], row["concurrency"])
    return Tier(
        row["name"],
        row["rank"],
        row["priority"],
        limits,
        row["webhooks"],
        row["max_api_keys"],
        row["max_file_bytes"],
        row["max_storage_bytes"],
    )


def _versions_by_model(rows: list[asyncpg.Record], known: Mapping[int, PriceVersion]) -> dict[str, list[PriceVersion]]:
    """Each model's versions in order; of two that start together the later import counts."""
    by_model: dict[str, dict[int, Any]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["starts_us"]] = row
    versions: dict[str, list[PriceVersion]] = {}
    for model, by_start in by_model.items():
        starts = sorted(by_start)
        untils = [*starts[1:], None]
        versions[model] = [
            price_version(by_start[start], until, known.get(by_start[start]["version"]))
            for start, until in zip(starts, untils, strict=True)
        ]
    return versions


def _costs_by_model(
    rows: list[asyncpg.Record], known: Mapping[int, OfferCost]
) -> dict[str, dict[str, tuple[OfferCost, ...]]]:
    """Each model's costs at each channel that has its own, in order."""
    by_model: dict[str, dict[str, tuple[OfferCost, ...]]] = {}
    for row in rows:
        at_channels = by_model.setdefault(row["model"], {})
        cost_card = known.get(row["version"]) or _offer_cost(row)
        at_channels[row["channel_id"]] = (*at_channels.get(row["channel_id"], ()), cost_card)
    return by_model


def _offer_cost(row: Any) -> OfferCost:
    paid = _card(row["cost_card"])
    card = None if paid is None else compile_card(paid, f"offer {row['version']}")
    return OfferCost(row["version"], row["starts_us"], card, row["source"])


def price_version(row: Any, until_us: int | None = None, known: PriceVersion | None = None) -> PriceVersion:
    """A version from its row; compiled anew unless known."""
    if known is not None:
        return replace(known, until_us=until_us)
    version = str(row["version"])
    return PriceVersion(
        row["version"],
        row["starts_us"],
        until_us,
        compile_card(_card(row["rate_card"]) or NO_PRICE, version),
        compile_card(paid, version) if (paid := _card(row["cost_card"])) else None,
        row["source"],
    )


def _card(text: str | None) -> RateCard | None:
    return None if text is None else msgspec.json.decode(text, type=RateCard)


def _priced(
    facts: Mapping[str, Model],
    versions: Mapping[str, list[PriceVersion]],
    channels: tuple[Channel, ...],
    ranks: Mapping[str, int],
) -> dict[str, PricedModel]:
    offers: dict[str, list[Channel]] = {}
    for channel in channels:
        for model in channel.models:
            offers.setdefault(model, []).append(channel)
    highest = max(ranks.values(), default=0)
    return {
        name: PricedModel(
            model,
            ranks.get(model.min_tier, highest),
            tuple(versions.get(name, ())),
            tuple([channel.id for channel in offers.get(name, ())]),
            frozenset([channel.dialect for channel in offers.get(name, ())]),
        )
        for name, model in facts.items()
    }
