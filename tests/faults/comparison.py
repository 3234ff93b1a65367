"""What clients received, against what the books say: the judge of every crash test.

Enters: the attempts of all clients, when which gateway was hit, and the books. Leaves: figures, and a sentence for
everything that does not agree. It shares no code with the ledger.

    a complete answer       has its charge, once, with the amount it was told (Law 3)
    a charge without one    belongs to a client that left, or was committed in the moment before its gateway was hit
    any other answer        costs nothing
    an idempotency key      was charged at most once, whoever repeated it (Law 9)
    every charge            is covered by its hold (Law 1), every capped key by its cap, on all nodes together (d10)
    every account           available ≥ 0, held = 0, given = charged + available (Laws 2, 4, 7)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import msgspec
from tests.faults.books_at_rest import Books
from tests.faults.load import CHAT, Attempt

from farebox.ids import hold_of
from farebox.money import parse_credits

MOMENT_US = 2_000_000
"""Between a commit and its last byte, on a machine that does other things as well."""
SLACK_US = 100_000
"""How far apart two clocks may read, and how long the kernel takes to bury a process."""
EXHAUSTED = "credits_exhausted"
"""The row of the failure policy that charges what was produced, at most what was held."""
PRICES = {CHAT: (parse_credits("0.000005"), parse_credits("0.000015"))}
"""By hand, from the price list: credits per input and per output token of `gpt-4o`."""


class Hit(NamedTuple):
    """Something done to a gateway, from one time to another; `port` 0 is all of them."""

    what: str
    port: int
    from_us: int
    until_us: int

    def breaks(self, attempt: Attempt) -> bool:
        """Whether this is a reason for that connection to have broken."""
        mine = self.port in (0, attempt.port)
        return mine and attempt.began_us <= self.until_us + SLACK_US and self.from_us - SLACK_US <= attempt.ended_us


@dataclass
class Figures:
    """Counts of one run."""

    requests: int = 0
    complete: int = 0
    streams: int = 0
    keyed: int = 0
    replayed: int = 0
    left: int = 0
    broken: int = 0
    refused: int = 0
    charges: int = 0
    compared: int = 0
    """Complete answers whose charge was looked up and had the amount told."""
    by_hand: int = 0
    """Of those, worked out again from the usage in the answer."""
    unsent: int = 0
    """Charges whose last byte was lost between commit and send."""
    late: int = 0
    hits: int = 0
    stamps: Counter[str] = field(default_factory=Counter)
    """Of all ends, by the row of the failure policy."""
    codes: Counter[str] = field(default_factory=Counter)
    """Of all refusals and errors."""

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {_shown(getattr(self, each.name))}" for each in fields(self))


def _shown(figure: int | Counter[str]) -> str:
    return str(dict(figure.most_common())) if isinstance(figure, Counter) else str(figure)


def compare(attempts: Sequence[Attempt], hits: Sequence[Hit], books: Books) -> tuple[Figures, list[str]]:
    """The figures of a run at rest, and everything that does not agree."""
    figures = _figures(attempts, hits, books)
    hold_by_attempt, wrong = _matched(attempts, books)
    for attempt in attempts:
        hold_id = hold_by_attempt.get(id(attempt), "")
        wrong += (
            f"{what} ({_told(attempt)}; {_rows(books, hold_id)})"
            for what in _judge(attempt, hold_id, hits, books, figures)
        )
    wrong += _once(attempts, hold_by_attempt, books)
    wrong += _covered(books)
    wrong += _accounts(books)
    return figures, wrong


def _figures(attempts: Sequence[Attempt], hits: Sequence[Hit], books: Books) -> Figures:
    return Figures(
        requests=len(attempts),
        complete=sum(each.heard.complete for each in attempts),
        streams=sum(each.ask.stream for each in attempts),
        keyed=sum(each.ask.idempotency_key is not None for each in attempts),
        replayed=sum(each.heard.replayed for each in attempts),
        left=sum(each.heard.left for each in attempts),
        broken=sum(each.broken for each in attempts),
        refused=sum(each.heard.status >= 400 for each in attempts),
        charges=sum(row["ended"] == "captured" for rows in books.charges.values() for row in rows),
        late=sum(row["kind"] == "late" for rows in books.charges.values() for row in rows),
        hits=len(hits),
        stamps=Counter(row["stamp"] for rows in books.charges.values() for row in rows),
        codes=Counter(each.heard.code for each in attempts if each.heard.code),
    )


def _matched(attempts: Sequence[Attempt], books: Books) -> tuple[dict[int, str], list[str]]:
    """The hold of each attempt: by its request id, or, where none was heard, by its keys and its time."""
    matched: dict[int, str] = {}
    silent: dict[str, list[Attempt]] = defaultdict(list)
    unknown = dict(books.charges)
    for attempt in attempts:
        request_id = attempt.heard.request_id
        if request_id is None:
            silent[attempt.customer.key_id].append(attempt)
        else:
            matched[id(attempt)] = hold_of(request_id)
            unknown.pop(hold_of(request_id), None)
    wrong: list[str] = []
    for hold_id, rows in unknown.items():
        opened_us, candidates = rows[0]["opened_us"], silent[rows[0]["key_id"]]
        began = [
            each
            for each in candidates
            if each.began_us - SLACK_US <= opened_us
            # A key goes with the charge: without one it was another request, or should not have been charged.
            and (each.ask.idempotency_key == books.claims.get(hold_id) or not books.charged(hold_id))
        ]
        if began:
            candidates.remove(began[-1])
            matched[id(began[-1])] = hold_id
        else:
            wrong.append(f"nobody asked for {hold_id} ({_rows(books, hold_id)})")
    return matched, wrong


def _judge(attempt: Attempt, hold_id: str, hits: Sequence[Hit], books: Books, figures: Figures) -> Iterator[str]:
    """One attempt against its charge."""
    heard, charged = attempt.heard, books.charged(hold_id)
    if heard.complete and not heard.replayed:
        figures.compared += 1
        yield from _complete(attempt, hold_id, books, figures)
    elif heard.left:
        return
    elif attempt.broken:
        hit = next((hit for hit in hits if hit.breaks(attempt)), None)
        if hit is None:
            yield "a connection broke though nothing was done to its gateway"
        elif charged:
            figures.unsent += 1
            committed_us = books.charges[hold_id][-1]["ended_us"]
            if hit.from_us - committed_us > MOMENT_US:
                yield f"Law 3: charged {hit.from_us - committed_us} µs before the {hit.what}, and never answered"
    elif charged and attempt.ask.idempotency_key is None:
        yield "an answer that is none was charged"  # with a key, the answer can still be fetched: see `_once`


def _complete(attempt: Attempt, hold_id: str, books: Books, figures: Figures) -> Iterator[str]:
    told, rows = attempt.heard.charged, books.charges.get(hold_id, [])
    if not rows:
        yield "Law 3: a complete answer has no charge"
    if told is None:
        if attempt.heard.whole or not attempt.heard.streamed:
            yield "a complete answer does not say what it cost"
        return
    if books.charged(hold_id) != told:
        yield f"Law 3: told {told}, charged {books.charged(hold_id)}"
    by_hand = _by_hand(attempt)
    if by_hand is not None:
        figures.by_hand += 1
        at_most = min((row["held"] for row in rows if row["stamp"] == EXHAUSTED), default=by_hand)
        if min(by_hand, at_most) != told:
            yield f"Law 8: told {told}, by hand {by_hand}"


def _by_hand(attempt: Attempt) -> int | None:
    """Input and output tokens at the listed price, for answers that carry the usage they were charged by."""
    heard = attempt.heard
    if attempt.ask.path != "/v1/chat/completions" or "usage=" in attempt.ask.headers["x-sandbox"]:
        return None
    said = [event["usage"] for event in heard.events if event.get("usage")] if heard.streamed else [_usage(heard.body)]
    if not said or not said[-1]:
        return None
    price_in, price_out = PRICES[CHAT]
    return said[-1]["prompt_tokens"] * price_in + said[-1]["completion_tokens"] * price_out


def _usage(body: bytes) -> Mapping[str, int]:
    return msgspec.json.decode(body).get("usage") or {}


def _once(attempts: Sequence[Attempt], hold_by_attempt: Mapping[int, str], books: Books) -> Iterator[str]:
    """All attempts under one idempotency key together."""
    by_key: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.ask.idempotency_key is not None:
            by_key[attempt.customer.account_id, attempt.ask.idempotency_key].append(attempt)
    for (_, key), tries in by_key.items():
        holds = {hold_by_attempt.get(id(each), "") for each in tries}
        charged = [hold for hold in holds if any(row["ended"] == "captured" for row in books.charges.get(hold, ()))]
        if len(charged) > 1:
            yield f"Law 9: {key} was charged {len(charged)} times: {charged}"
        if any(each.heard.replayed or each.heard.code == "idempotency_completed" for each in tries) and not charged:
            yield f"Law 9: {key} was answered from memory and never charged"
        answers = {each.heard.body for each in tries if each.heard.complete and each.heard.whole}
        if len(answers) > 1:
            yield f"Law 9: {key} was answered in {len(answers)} ways"


def _covered(books: Books) -> Iterator[str]:
    for rows in books.charges.values():
        for row in rows:
            if row["kind"] == "end" and row["amount"] > row["held"]:
                yield f"Law 1: {row['hold_id']} was charged {row['amount']} and held {row['held']}"
    for key in books.capped_keys:
        if key["spent"] > key["most"]:
            yield f"Law 4: {key['id']} spent {key['spent']} of {key['most']}"


def _accounts(books: Books) -> Iterator[str]:
    if books.open_holds:
        yield f"Law 2: at rest {len(books.open_holds)} holds are open: {books.open_holds[:3]}"
    for row in books.accounts:
        if row["available"] < 0:
            yield f"Law 4: {row['id']} has {row['available']}"
        if row["held"] or row["running"]:
            yield f"Law 2: at rest {row['id']} holds {row['held']} for {row['running']} requests"
        if row["given"] != row["paid"] + row["available"] + row["held"]:
            yield f"Law 7: {row['id']} was given {row['given']}, paid {row['paid']}, has {row['available']}"


def _told(attempt: Attempt) -> str:
    heard = attempt.heard
    kind = ("stream" if attempt.ask.stream else "whole") + (" keyed" if attempt.ask.idempotency_key else "")
    return (
        f"{kind} {attempt.ask.headers['x-sandbox']!r} at {attempt.port}: "
        f"{heard.request_id} {heard.status} {heard.code} whole={heard.whole} {attempt.began_us}..{attempt.ended_us}"
    )


def _rows(books: Books, hold_id: str) -> str:
    return (
        "; ".join(
            f"{row['kind']} {row['ended']} {row['stamp']} {row['amount']} of {row['held']} at {row['ended_us']}"
            for row in books.charges.get(hold_id, ())
        )
        or "no charge"
    )
