"""What a caller can ask before it makes a call: what it would cost, and how many tokens it has. Nothing is charged."""

from __future__ import annotations

from typing import Any

import msgspec

from farebox.admission.access import check_model
from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.routes import Question, Routes
from farebox.relay.ask import Ask
from farebox.relay.conversations import Conversations
from farebox.relay.counting import count_input
from farebox.relay.prepare import malformed
from farebox.relay.quote import Quotes
from farebox.store.catalogue import Catalogue
from farebox.tariff.price_list import ModelType
from farebox.wire.anthropic import counting as anthropic_counting
from farebox.wire.call import ABSENT, Call, Malformed, is_present
from farebox.wire.dialect import ANTHROPIC, OPENAI_CHAT, OPENAI_EMBEDDINGS, OPENAI_RESPONSES, Dialect, dialect_at
from farebox.wire.form import FormDialect
from farebox.wire.gemini.dialect import counted_at

QUOTE = "/v1/quote"


class AskingAhead:
    """See the module."""

    def __init__(self, quotes: Quotes, catalogue: Catalogue, conversations: Conversations) -> None:
        self._quotes = quotes
        self._catalogue = catalogue
        self._conversations = conversations
        self.routes: Routes = {
            QUOTE: {"POST": self._quote},
            anthropic_counting.PATH: {"POST": self._count_messages},
            "/v1/responses/input_tokens": {"POST": self._count_response},
            "/v1/models/": {"POST": self._count_contents},
            "/v1beta/models/": {"POST": self._count_contents},
        }

    async def _quote(self, question: Question) -> dict[str, Any] | Refusal:
        body = await question.body()
        if isinstance(body, Refusal):
            return body
        endpoint = question.parameters.get("endpoint")
        dialect = self._meant(question, body) if endpoint is None else dialect_at(endpoint)
        if dialect is None:
            return _NO_ENDPOINT
        return await self._quotes.quote(_asked(question, dialect, body), question.view)

    def _meant(self, question: Question, body: bytes) -> Dialect | None:
        """Which call a quote without `endpoint` is asked for, by what the body holds and what the model is."""
        try:
            shape = msgspec.json.decode(body, type=_Shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return OPENAI_CHAT
        if is_present(shape.messages):
            return ANTHROPIC if question.dialect is ANTHROPIC else OPENAI_CHAT
        priced = self._catalogue.current.names.get(shape.model)
        if is_present(shape.documents):
            return dialect_at("/v1/rerank")
        if is_present(shape.prompt):
            draws = priced is not None and priced.model.type is ModelType.IMAGE_GENERATION
            return dialect_at("/v1/images/generations" if draws else "/v1/completions")
        if not is_present(shape.input):
            return OPENAI_CHAT
        return OPENAI_RESPONSES if priced is None else _OF_INPUT.get(priced.model.type, OPENAI_RESPONSES)

    async def _count_response(self, question: Question) -> dict[str, Any] | Refusal:
        body = await question.body()
        if isinstance(body, Refusal):
            return body
        call = await self._conversations.call_of(_asked(question, OPENAI_RESPONSES, body), question.view)
        counted = call if isinstance(call, Refusal) else await self._counted(OPENAI_RESPONSES, call, question)
        if isinstance(counted, Refusal):
            return counted
        return {"object": "response.input_tokens", "input_tokens": counted}

    async def _count_messages(self, question: Question) -> dict[str, Any] | Refusal:
        body = await question.body()
        if isinstance(body, Refusal):
            return body
        counted = await self._counted(ANTHROPIC, anthropic_counting.read(body), question)
        return counted if isinstance(counted, Refusal) else anthropic_counting.shown(counted)

    async def _count_contents(self, question: Question) -> dict[str, Any] | Refusal:
        dialect = counted_at(question.path)
        if dialect is None:
            return _NO_ACTION
        body = await question.body()
        if isinstance(body, Refusal):
            return body
        counted = await self._counted(dialect, dialect.parse(body), question)
        return counted if isinstance(counted, Refusal) else {"totalTokens": counted}

    async def _counted(self, dialect: Dialect, call: Call | Malformed, question: Question) -> int | Refusal:
        """The input tokens of a call, by the model's own vocabulary or the nearest we have."""
        if isinstance(call, Malformed):
            return malformed(call)
        await self._catalogue.verify()
        snapshot, view = self._catalogue.current, question.view
        priced = snapshot.names.get(call.model)
        if priced is None:
            return Refusal(RefusalCode.INVALID_MODEL, "This model does not exist here.", "model")
        tier = snapshot.tiers[view.account.tier]
        refusal = check_model(view.key, tier, model=priced.model.id, model_rank=priced.rank, tiers=snapshot.rules.tiers)
        return refusal or await count_input(dialect, call, priced.model.tokenizer)


def _asked(question: Question, dialect: Dialect, body: bytes) -> Ask:
    wishes, asking = question.wishes, question.asking
    if isinstance(dialect, FormDialect):
        dialect = dialect.reading([value for name, value in asking.headers if name == b"content-type"])
    return Ask(asking.request_id, dialect, wishes.secret, [], body, asking.client_ip, ceiling=wishes.ceiling)


class _Shape(msgspec.Struct):
    """What tells one call's body from another's."""

    model: str = ""
    messages: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    prompt: msgspec.Raw = ABSENT
    documents: msgspec.Raw = ABSENT


_OF_INPUT = {ModelType.EMBEDDING: OPENAI_EMBEDDINGS, ModelType.MODERATION: dialect_at("/v1/moderations")}
_NO_ENDPOINT = Refusal(
    RefusalCode.INVALID_PARAMETER, "'endpoint' is the address of a model call, such as /v1/messages.", "endpoint"
)
_NO_ACTION = Refusal(RefusalCode.NOT_FOUND, "There is nothing at this address. The reference lists all of them.")
