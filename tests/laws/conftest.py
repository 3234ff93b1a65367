"""The laws are tested on a desk of their own."""

from tests.support.ledger_fixtures import desk, wire

__all__ = ["desk", "wire"]
