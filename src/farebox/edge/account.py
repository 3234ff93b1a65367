"""What an account and its key can read of themselves: profile, limits, receipts, and billing as older clients ask."""

from __future__ import annotations

import re
from typing import Any

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.edge.routes import Question, Routes
from farebox.edge.shapes import credit_grants, key_shape, me_shape, receipt_shape, subscription, usage_shape
from farebox.store.catalogue import Catalogue
from farebox.store.history import History

_REQUEST_ID = re.compile(r"req_[0-9a-hjkmnp-tv-z]{26}")


class Account:
    """See the module."""

    def __init__(self, catalogue: Catalogue, history: History) -> None:
        self._catalogue = catalogue
        self._history = history
        self.routes: Routes = {
            "/v1/key": {"GET": self._key},
            "/v1/receipts/": {"GET": self._receipt},
            "/api/auth/me": {"GET": self._me},
            "/v1/dashboard/billing/subscription": {"GET": self._subscription},
            "/v1/dashboard/billing/usage": {"GET": self._usage},
            "/v1/dashboard/billing/credit_grants": {"GET": self._credit_grants},
        }

    async def _receipt(self, question: Question) -> dict[str, Any] | Refusal:
        known = _REQUEST_ID.fullmatch(question.rest)
        found = await self._history.receipt(question.view.account.id, question.rest) if known else None
        return _NO_RECEIPT if found is None else receipt_shape(found)

    async def _me(self, question: Question) -> dict[str, Any]:
        view = question.view
        return me_shape(view, self._catalogue.current.tiers[view.account.tier])

    async def _key(self, question: Question) -> dict[str, Any]:
        return key_shape(question.view)

    async def _subscription(self, question: Question) -> dict[str, Any]:
        return subscription(question.view, await self._history.granted(question.view.account.id))

    async def _usage(self, question: Question) -> dict[str, Any] | Refusal:
        parameters = question.parameters
        span = await self._history.span(parameters.get("start_date"), parameters.get("end_date"))
        account_id = question.view.account.id
        return _BAD_DATES if span is None else usage_shape(await self._history.by_day(account_id, span))

    async def _credit_grants(self, question: Question) -> dict[str, Any]:
        return credit_grants(question.view, await self._history.lots(question.view.account.id))


_NO_RECEIPT = Refusal(RefusalCode.NOT_FOUND, "There is no receipt of this request in your account.")
_BAD_DATES = Refusal(
    RefusalCode.INVALID_PARAMETER, "start_date and end_date are days like 2026-11-21, the start not after the end."
)
