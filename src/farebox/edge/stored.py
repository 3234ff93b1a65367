"""Stored responses: read, listed, forgotten; and the tools that a call of the Responses endpoint may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.routes import Question, Routes
from farebox.relay.conversations import Conversations
from farebox.store.catalogue import Catalogue, PricedModel
from farebox.tariff.meters import Meter
from farebox.wire.call import Fields, text_field
from farebox.wire.responses.price_fields import TOOLS, ToolRow

MOST_LISTED = 100
USUALLY_LISTED = 20
_INPUT_ITEMS = "/input_items"


class Stored:
    """See the module."""

    def __init__(self, conversations: Conversations, catalogue: Catalogue) -> None:
        self._conversations = conversations
        self._catalogue = catalogue
        self.routes: Routes = {
            "/v1/responses/tools": {"GET": self._tools},
            "/v1/responses/": {"GET": self._read, "DELETE": self._drop},
        }

    async def _read(self, question: Question) -> dict[str, Any] | Refusal:
        if question.rest.endswith(_INPUT_ITEMS):
            return await self._input_items(question, question.rest.removesuffix(_INPUT_ITEMS))
        if question.parameters.get("stream") == "true":
            return Refusal(RefusalCode.INVALID_PARAMETER, "A stored response is not streamed again.", "stream")
        found = await self._conversations.response(question.view.account.id, question.rest)
        return _not_found(question.rest) if found is None else dict[str, Any](found)

    async def _drop(self, question: Question) -> dict[str, Any] | Refusal:
        dropped = await self._conversations.drop(question.view.account.id, question.rest)
        return {"id": question.rest, "object": "response", "deleted": True} if dropped else _not_found(question.rest)

    async def _input_items(self, question: Question, response_id: str) -> dict[str, Any] | Refusal:
        items = await self._conversations.input_items(question.view.account.id, response_id)
        return _not_found(response_id) if items is None else _page(items, question.parameters)

    async def _tools(self, question: Question) -> dict[str, Any]:
        await self._catalogue.verify()
        models = self._catalogue.current.models.values()
        return {"object": "list", "data": [_tool(row, models, question.view.read_us) for row in TOOLS]}


def _page(items: list[Fields], parameters: Mapping[str, str]) -> dict[str, Any] | Refusal:
    """A page of the items, the newest first unless asked otherwise."""
    limit = parameters.get("limit", str(USUALLY_LISTED))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= MOST_LISTED:
        return Refusal(RefusalCode.INVALID_PARAMETER, f"'limit' is from 1 to {MOST_LISTED}.", "limit")
    ordered = items if parameters.get("order") == "asc" else items[::-1]
    names = [text_field(item, "id") for item in ordered]
    after = parameters.get("after")
    start = names.index(after) + 1 if after in names else 0
    shown = ordered[start : start + int(limit)]
    first, last = (text_field(shown[0], "id"), text_field(shown[-1], "id")) if shown else (None, None)
    has_more = start + len(shown) < len(ordered)
    return {"object": "list", "data": shown, "first_id": first, "last_id": last, "has_more": has_more}


def _tool(row: ToolRow, models: Any, now_us: int) -> dict[str, Any]:
    """A type of tool; its price for a call by each model that has one, in credits."""
    shown: dict[str, Any] = {"type": row.type, "treatment": row.treatment.value, "how": row.how}
    if row.meter is None:
        return shown
    prices = {model.model.id: _price(model, row.meter, now_us) for model in models}
    return shown | {"meter": row.meter.value, "prices": {name: price for name, price in prices.items() if price}}


def _price(priced: PricedModel, meter: Meter, now_us: int) -> str | None:
    version = priced.price_at(now_us)
    written = None if version is None else version.card.plain.written.get(meter)
    return None if written is None else written[0]


def _not_found(response_id: str) -> Refusal:
    return Refusal(RefusalCode.NOT_FOUND, f"Response with id '{response_id[:64]}' not found.")
