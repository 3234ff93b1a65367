"""The one small tree of exceptions: whose fault it is, and whether a retry is safe.

    FareboxError
    ├── Fault                  something outside went wrong; the request ends, the money is safe
    │   ├── LedgerUnavailable  the ledger cannot answer (Law 6: the request is refused)
    │   ├── UpstreamFault      a provider refused, failed or fell silent
    │   └── SetupFault         the operator can mend it: the text says how
    └── LawBroken              a law does not hold: never swallowed, always alerts

Refusals are no exceptions: they are returned values (see `admission.refusals`).
"""

from __future__ import annotations


class FareboxError(Exception):
    """Root of everything Farebox raises on purpose."""


class Fault(FareboxError):
    """Trouble outside our own logic."""

    retry_is_safe = False


class LedgerUnavailable(Fault):
    """The ledger did not answer in time. Whether the command took effect is unknown until read back."""

    retry_is_safe = True


class SetupFault(Fault):
    """Something the operator set up is missing or wrong; the message says what to do next."""


class LawBroken(FareboxError):
    """One of the laws of the design does not hold."""

    def __init__(self, law: int, what: str) -> None:
        super().__init__(f"Law {law}: {what}")
        self.law = law
