"""What the store does with money is tested on a desk of its own."""

from tests.support.ledger_fixtures import desk, wire

__all__ = ["desk", "wire"]
