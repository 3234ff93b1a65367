"""Routes that reach no provider: what one is given, and what it gives back. Tables of them are joined in `reads`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from farebox.admission.refusals import Refusal
from farebox.edge.app import Asking
from farebox.edge.headers import Wishes
from farebox.edge.replies import Download, Response
from farebox.store.keyring import KeyView
from farebox.wire.dialect import Dialect


class Question(NamedTuple):
    """One request whose caller is known, by a key read afresh."""

    view: KeyView
    path: str
    rest: str
    """What follows the address of a route that ends in a slash."""
    query: bytes
    wishes: Wishes
    asking: Asking
    dialect: Dialect
    """In whose shape it is to be answered, where there are several."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """Of the query; the last of a name counts."""
        return {name: values[-1] for name, values in parse_qs(self.query.decode("latin-1")).items()}

    async def body(self) -> bytes | Refusal:
        """The whole body, within its limit."""
        return self.wishes.refusal or await self.asking.read_body()


Answer = Callable[[Question], Awaitable[dict[str, Any] | Refusal | Response | Download]]
"""A route: JSON-ready values, a refusal, a whole response, or a long one. May raise `LedgerUnavailable`."""

Routes = Mapping[str, Mapping[str, Answer]]
"""Address → method → route. An address that ends in a slash takes the rest of the path; `GET` also answers `HEAD`."""
