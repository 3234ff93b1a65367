"""Where a caller stands, from its key as last read: for answers that no admission decided."""

from __future__ import annotations

from farebox.admission.rate_limits import rate_now
from farebox.admission.state import Gates
from farebox.relay.ask import Standing
from farebox.store.catalogue import Snapshot
from farebox.store.keyring import KeyView


def gates_of(view: KeyView, snapshot: Snapshot) -> Gates:
    """The gates as last read; for showing, never for deciding."""
    return Gates(view.account, view.key, view.books, snapshot.tiers[view.account.tier], snapshot.rules)


def standing_of(view: KeyView, snapshot: Snapshot, resource: str) -> Standing:
    """Requests per minute and priority of the caller."""
    gates = gates_of(view, snapshot)
    return Standing(rate_now(gates, now_us=view.read_us), gates.tier.priority, resource)
