"""Changes of the catalogue: importing prices, channels and their keys, tiers.

Each is one transaction that also raises the catalogue's version and notifies the other
processes. Prices are only added (Law 8): an import writes a new version of every model whose
card differs, from a start date on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from farebox.admission.state import Tier
from farebox.store import statements
from farebox.store.catalogue import NO_PRICE
from farebox.store.id_source import new_id
from farebox.store.postgres import Connection, Pool
from farebox.tariff.price_list import Model
from farebox.tariff.rate_card import RateCard
from farebox.upstream.secrets import KeyRing


class Imported(msgspec.Struct, frozen=True):
    """What an import did, by model id."""

    added: tuple[str, ...]
    repriced: tuple[str, ...]
    unchanged: int
    version: int


class ChannelRow(msgspec.Struct, frozen=True):
    """A channel as it is stored; its keys apart."""

    id: str
    name: str
    dialect: str
    base_url: str
    enabled: bool = True
    options: dict[str, Any] = {}


class CatalogueChanges:
    """See the module."""

    def __init__(self, pool: Pool, key_ring: KeyRing) -> None:
        self._pool = pool
        self._key_ring = key_ring
        self._sql = statements.load("catalogue")

    async def import_models(self, models: Sequence[Model], *, starts_us: int | None, source: str) -> Imported:
        """Take in a price list. Facts are replaced at once, prices from `starts_us` (None: from now) on.

        A price may not start in the past: charges already made keep the version they were made with.
        `ValueError` otherwise.
        """
        async with self._change() as connection:
            start = await self._start(connection, starts_us)
            known = {row["id"] for row in await connection.fetch(self._sql["model_ids"])}
            in_force = await self._cards_at(connection, start)
            added = [model.id for model in models if model.id not in known]
            repriced: list[str] = []
            for model in models:
                await self._put_model(connection, model)
                if in_force.get(model.id) != (model.price, model.cost_card):
                    repriced.append(model.id)
                    await self._add_price(connection, model, start, source)
            version = await connection.fetchval(self._sql["version"])
        changed = tuple(name for name in repriced if name not in added)
        return Imported(tuple(added), changed, len(models) - len(repriced), version)

    async def import_costs(
        self, channel_id: str, cards: Mapping[str, RateCard | None], *, starts_us: int | None, source: str
    ) -> tuple[str, ...]:
        """What a channel takes for models, from `starts_us` (None: now) on; None: what the model costs elsewhere.

        Returns the models whose cost there changes with it. A model that is unknown raises `KeyError`, a start in
        the past `ValueError`.
        """
        async with self._change() as connection:
            start = await self._start(connection, starts_us)
            known = {row["id"] for row in await connection.fetch(self._sql["model_ids"])}
            in_force = await self._costs_at(connection, channel_id, start)
            changed: list[str] = []
            for model, card in cards.items():
                if model not in known:
                    raise KeyError(model)
                if in_force.get(model) != card:
                    changed.append(model)
                    text = None if card is None else msgspec.json.encode(card).decode()
                    await connection.execute(self._sql["add_offer_cost"], channel_id, model, start, text, source)
        return tuple(changed)

    async def disable_model(self, model_id: str) -> None:
        """Take a model out of sale; its prices stay for old charges."""
        async with self._change() as connection:
            await connection.execute(self._sql["disable_model"], model_id)

    async def set_tier(self, tier: Tier) -> None:
        """Replace a tier's priority and limits; in force with the next request everywhere."""
        limits = tier.limits
        async with self._change() as connection:
            await connection.execute(
                self._sql["put_tier"],
                tier.name,
                tier.priority,
                limits.requests_per_minute,
                limits.tokens_per_minute,
                limits.requests_per_day,
                limits.concurrency,
                tier.max_file_bytes,
                tier.max_storage_bytes,
            )

    async def find_channel(self, name: str) -> ChannelRow | None:
        """A channel by id or name."""
        row = await self._pool.fetchrow(self._sql["channel_named"], name)
        return None if row is None else _channel_row(row)

    async def put_channel(self, channel: ChannelRow, *, secrets: Sequence[str] | None = None) -> None:
        """Add or replace a channel; `secrets`, when given, replace all its keys. A taken name raises `ValueError`."""
        async with self._change() as connection:
            taken = await connection.fetchrow(self._sql["channel_named"], channel.name)
            if taken is not None and taken["id"] != channel.id:
                raise ValueError(f"a channel named {channel.name!r} exists already")
            await connection.execute(
                self._sql["put_channel"],
                channel.id,
                channel.name,
                channel.dialect,
                channel.base_url,
                channel.enabled,
                msgspec.json.encode(channel.options).decode(),
            )
            if secrets is not None:
                await self._replace_keys(connection, channel.id, secrets)

    async def remove_channel(self, channel_id: str) -> None:
        """Take a channel away; requests under way on it end as they would."""
        async with self._change() as connection:
            await connection.execute(self._sql["remove_channel"], channel_id)

    async def _replace_keys(self, connection: Connection, channel_id: str, secrets: Sequence[str]) -> None:
        await connection.execute(self._sql["remove_channel_keys"], channel_id)
        for secret in secrets:
            key_id = new_id("upkey")
            sealed = self._key_ring.seal(secret.encode(), row=key_id)
            hint = f"…{secret[-4:]}" if len(secret) >= 12 else "…"
            await connection.execute(self._sql["put_channel_key"], key_id, channel_id, sealed, hint, "{}")

    async def _cards_at(self, connection: Connection, at_us: int) -> Mapping[str, tuple[RateCard, RateCard | None]]:
        """The prices in force at a moment, by model; the later import of two that start together."""
        return {
            row["model"]: (_card(row["rate_card"]) or NO_PRICE, _card(row["cost_card"]))
            for row in await connection.fetch(self._sql["price_versions"])
            if row["starts_us"] <= at_us
        }

    async def _costs_at(self, connection: Connection, channel_id: str, at_us: int) -> Mapping[str, RateCard | None]:
        return {
            row["model"]: _card(row["cost_card"])
            for row in await connection.fetch(self._sql["offer_costs"])
            if row["channel_id"] == channel_id and row["starts_us"] <= at_us
        }

    async def _start(self, connection: Connection, starts_us: int | None) -> int:
        now_us: int = await connection.fetchval(self._sql["now"])
        if starts_us is not None and starts_us < now_us:
            raise ValueError("prices cannot start in the past: they would not match charges already made")
        return now_us if starts_us is None else starts_us

    async def _put_model(self, connection: Connection, model: Model) -> None:
        facts = msgspec.structs.replace(model, price=NO_PRICE, cost_card=None)
        await connection.execute(self._sql["put_model"], model.id, msgspec.json.encode(facts).decode())

    async def _add_price(self, connection: Connection, model: Model, starts_us: int, source: str) -> None:
        cost_card = None if model.cost_card is None else msgspec.json.encode(model.cost_card).decode()
        card = msgspec.json.encode(model.price).decode()
        await connection.execute(self._sql["add_price"], model.id, starts_us, card, cost_card, source)

    @asynccontextmanager
    async def _change(self) -> AsyncGenerator[Connection, None]:
        async with self._pool.acquire() as connection, connection.transaction():
            version = await connection.fetchval(self._sql["bump"])
            yield connection
            await connection.fetchval(self._sql["notify"], str(version))


def _channel_row(row: Any) -> ChannelRow:
    options = msgspec.json.decode(row["options"], type=dict[str, Any])
    return ChannelRow(row["id"], row["name"], row["dialect"], row["base_url"], row["enabled"], options)


def _card(text: str | None) -> RateCard | None:
    return None if text is None else msgspec.json.decode(text, type=RateCard)
