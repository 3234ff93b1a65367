"""What the tests of a client library share: customers in trouble of every kind, and how often they asked."""

from __future__ import annotations

from tests.support.gateway import Customer, Gateway

from farebox.admission.state import Limits
from farebox.store.files import Page
from farebox.store.ledger_rows import KeySettings


class Situations:
    """Secrets of customers, by what will happen to their requests."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.base_url = f"{gateway.base_url}/v1"
        self._customers = {"good": gateway.customer(credits="100")}
        self.good = self._customers["good"].secret
        self.unknown = "sk-0000000000000000000000000000000000000000000000000000"
        self.poor = gateway.customer(credits="0.000001").secret
        self.disabled = gateway.customer(settings=KeySettings(enabled=False)).secret
        self.low_tier = gateway.customer(tier="free").secret

    def customer(self, name: str) -> Customer:
        return self._customers[name]

    def fresh_limited(self) -> str:
        """One request a day, and none made yet."""
        return self.gateway.customer(settings=KeySettings(limits=Limits(requests_per_day=1))).secret

    def forget_files(self) -> None:
        """Delete what the good customer has uploaded so far."""
        files, account_id = self.gateway.books.files, self.customer("good").account_id
        for file in self.gateway.call(files.page(account_id, Page())):
            self.gateway.call(files.delete(account_id, file.id))

    def asked(self, code: str) -> int:
        """How many requests ended with this code so far."""
        return sum(number for (_, known), number in self.gateway.metrics.counted.requests.items() if known == code)
