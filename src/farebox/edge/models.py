"""The list of models, as OpenAI (with prices), Anthropic and Gemini write it, each with its paging."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.routes import Question, Routes
from farebox.edge.shapes import model_shape
from farebox.store.catalogue import Catalogue, PricedModel
from farebox.tariff.price_list import ModelType

_LARGEST_PAGE = 1_000
_PAGES = {"anthropic": 20, "gemini": 50}
"""What a page holds where nobody says, as these providers have it."""

Listed = tuple[PricedModel, dict[str, Any]]


class Models:
    """See the module."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.routes: Routes = {
            "/v1/models": {"GET": self._list},
            "/v1/models/": {"GET": self._one},
            "/v1beta/models": {"GET": self._list},
            "/v1beta/models/": {"GET": self._one},
        }

    async def _list(self, question: Question) -> dict[str, Any] | Refusal:
        await self._catalogue.verify()
        parameters, now_us = question.parameters, question.view.read_us
        fitting = [model for model in self._catalogue.current.models.values() if _fits(model, parameters)]
        listed = [(model, shape) for model in fitting if (shape := model_shape(model, now_us)) is not None]
        paged = _LISTS.get(question.dialect.name)
        if paged is None:
            return {"object": "list", "data": [shape for _, shape in listed]}
        return paged(listed, parameters)

    async def _one(self, question: Question) -> dict[str, Any] | Refusal:
        await self._catalogue.verify()
        model = self._catalogue.current.names.get(question.rest.removeprefix("models/"))
        shape = None if model is None else model_shape(model, question.view.read_us)
        if model is None or shape is None:
            return _NO_MODEL
        return _ONES.get(question.dialect.name, _openai_one)((model, shape))


def _fits(model: PricedModel, parameters: Mapping[str, str]) -> bool:
    """The filters of the list: `provider`, `type`, `capability`."""
    facts = model.model
    return (
        parameters.get("provider") in (None, facts.provider)
        and parameters.get("type") in (None, facts.type.value)
        and (parameters.get("capability") is None or parameters["capability"] in facts.capabilities)
    )


def _openai_one(listed: Listed) -> dict[str, Any]:
    return listed[1]


# Anthropic ------------------------------------------------------------------------------------------


def _anthropic_one(listed: Listed) -> dict[str, Any]:
    model, shape = listed[0].model, listed[1]
    created = datetime.fromtimestamp(shape["created"], UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "max_input_tokens": model.context_length,
        "max_tokens": model.max_output_tokens,
    }


def _anthropic_list(listed: Sequence[Listed], parameters: Mapping[str, str]) -> dict[str, Any] | Refusal:
    size = _page_size(parameters.get("limit"), _PAGES["anthropic"])
    ids = [model.model.id for model, _ in listed]
    after, before = parameters.get("after_id"), parameters.get("before_id")
    if size is None or any(name is not None and name not in ids for name in (after, before)):
        return _BAD_PAGE
    start = 0 if after is None else ids.index(after) + 1
    stop = len(ids) if before is None else ids.index(before)
    if before is not None:
        start = max(start, stop - size)
    page = [_anthropic_one(each) for each in listed[start : min(stop, start + size)]]
    more = start > 0 if before is not None else start + size < stop
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": more, "first_id": first, "last_id": last}


# Gemini ---------------------------------------------------------------------------------------------

_METHODS: Mapping[ModelType, list[str]] = {
    ModelType.CHAT: ["generateContent", "countTokens"],
    ModelType.EMBEDDING: ["embedContent", "batchEmbedContents"],
}


def _gemini_one(listed: Listed) -> dict[str, Any]:
    model = listed[0].model
    known = {
        "name": f"models/{model.id}",
        "baseModelId": model.id,
        "version": _day(model.launched),
        "displayName": model.display_name,
        "inputTokenLimit": model.context_length,
        "outputTokenLimit": model.max_output_tokens,
        "supportedGenerationMethods": _METHODS.get(model.type, []),
    }
    return {name: value for name, value in known.items() if value is not None}


def _gemini_list(listed: Sequence[Listed], parameters: Mapping[str, str]) -> dict[str, Any] | Refusal:
    size = _page_size(parameters.get("pageSize"), _PAGES["gemini"])
    start = parameters.get("pageToken") or "0"
    if size is None or not (start.isascii() and start.isdigit() and len(start) < 7):
        return _BAD_PAGE
    place = int(start)
    page: dict[str, Any] = {"models": [_gemini_one(each) for each in listed[place : place + size]]}
    return page | ({"nextPageToken": str(place + size)} if place + size < len(listed) else {})


def _day(launched: date | None) -> str | None:
    return None if launched is None else launched.isoformat()


def _page_size(stated: str | None, usual: int) -> int | None:
    if stated is None:
        return usual
    is_number = stated.isascii() and stated.isdigit() and len(stated) < 7
    return min(int(stated), _LARGEST_PAGE) if is_number and int(stated) else None


_LISTS: Mapping[str, Callable[[Sequence[Listed], Mapping[str, str]], dict[str, Any] | Refusal]] = {
    "anthropic": _anthropic_list,
    "gemini": _gemini_list,
}
_ONES: Mapping[str, Callable[[Listed], dict[str, Any]]] = {"anthropic": _anthropic_one, "gemini": _gemini_one}
_NO_MODEL = Refusal(RefusalCode.INVALID_MODEL, "This model does not exist here. GET /v1/models lists all.", "model")
_BAD_PAGE = Refusal(
    RefusalCode.INVALID_PARAMETER,
    "This page of the list does not exist: sizes are from 1 to 1000, and a page begins at a model of the list.",
)
