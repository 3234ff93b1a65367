"""What commands print: exact for programs, readable for people, and always a way on."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.cli.output import Column, CommandFailed, ExitCode, Kind, Output, human_credits, not_found, refused
from farebox.faults import Fault, LawBroken, LedgerUnavailable, SetupFault
from farebox.money import AmountError, parse_credits

COLUMNS = (
    Column("id"),
    Column("available", Kind.CREDITS),
    Column("created_at", Kind.TIME, "created"),
    Column("requests", Kind.NUMBER),
    Column("models"),
    Column("suspended"),
)
ROW = {
    "id": "acct_1",
    "available": 1_234_567_890_000,
    "created_at": 1_763_750_400_000_001,
    "requests": 12_345,
    "models": ("gpt-5", "o3"),
    "suspended": False,
}


def output(*, as_json: bool) -> Output:
    return Output(as_json=as_json, out=io.StringIO(), err=io.StringIO())


def printed(given: Output) -> str:
    assert isinstance(given.out, io.StringIO)
    return given.out.getvalue()


def complained(given: Output) -> str:
    assert isinstance(given.err, io.StringIO)
    return given.err.getvalue()


def test_programs_get_exact_amounts_and_times_in_utc() -> None:
    shown = output(as_json=True)
    shown.table([ROW], COLUMNS, title="Accounts")
    assert json.loads(printed(shown)) == [
        {
            "id": "acct_1",
            "available": "1234.56789",
            "created_at": "2025-11-21T18:40:00.000001Z",
            "requests": 12345,
            "models": ["gpt-5", "o3"],
            "suspended": False,
        }
    ]


def test_people_get_a_table() -> None:
    shown = output(as_json=False)
    shown.table([ROW], COLUMNS, title="Accounts")
    text = printed(shown)
    for part in ("Accounts", "created", "1,234.56789", "2025-11-21 18:40:00", "12,345", "gpt-5, o3", "no"):
        assert part in text


def test_one_thing_is_an_object_or_a_line_for_each_of_its_parts() -> None:
    program, person = output(as_json=True), output(as_json=False)
    for shown in (program, person):
        shown.record({"id": "acct_1", "available": 5}, COLUMNS[:3])
    assert json.loads(printed(program)) == {"id": "acct_1", "available": "0.000000005", "created_at": None}
    assert [line.split() for line in printed(person).splitlines()] == [
        ["id", "acct_1"],
        ["available", "0.000000005"],
        ["created", "–"],
    ]


def test_nothing_found_is_said_to_people_and_empty_for_programs() -> None:
    program, person = output(as_json=True), output(as_json=False)
    for shown in (program, person):
        shown.table([], COLUMNS, title="Accounts")
    assert json.loads(printed(program)) == []
    assert printed(person) == "Accounts: none.\n"


def test_names_that_look_like_markup_are_printed_as_they_are() -> None:
    shown = output(as_json=False)
    shown.table([{"id": "[red]acct[/red]"}], COLUMNS[:1])
    shown.say("[bold]x[/bold]")
    assert "[red]acct[/red]" in printed(shown)
    assert "[bold]x[/bold]" in printed(shown)


def test_with_json_only_json_is_printed() -> None:
    shown = output(as_json=True)
    shown.say("Made an account.")
    with shown.progress("Counting", 3) as advance:
        advance(1)
    assert (printed(shown), complained(shown)) == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (SetupFault("No database. Set FAREBOX_DATABASE_URL."), ExitCode.SETUP, "Set FAREBOX_DATABASE_URL"),
        (LedgerUnavailable("no answer"), ExitCode.UNAVAILABLE, "farebox doctor"),
        (Fault("upstream fell silent"), ExitCode.UNAVAILABLE, "farebox doctor"),
        (LawBroken(4, "acct_1 is below zero"), ExitCode.LAW_BROKEN, "Law 4: acct_1 is below zero"),
        (AmountError("'x' is not an amount"), ExitCode.USAGE, "like 12 or 0.25"),
        (not_found("account", "acct_9", next_step="farebox account list"), ExitCode.NOT_FOUND, "no account acct_9"),
        (refused("Not enough available.", next_step="Adjust less."), ExitCode.REFUSED, "Adjust less."),
        (CommandFailed("3 rows are off"), ExitCode.FOUND, "3 rows are off"),
    ],
)
def test_every_trouble_has_its_exit_code_and_a_way_on(error: Exception, code: ExitCode, says: str) -> None:
    person, program = output(as_json=False), output(as_json=True)
    for shown in (person, program):
        with pytest.raises(SystemExit) as left, shown.guard():
            raise error
        assert left.value.code == code
        assert printed(shown) == ""
    assert says in complained(person)
    assert complained(person).startswith("Error: ")
    problem = json.loads(complained(program))["error"]
    assert problem["code"] == code.name.lower()
    assert says in f"{problem['message']} {problem['next']}"


def test_a_secret_in_an_error_is_taken_out() -> None:
    shown = output(as_json=False)
    shown.failed(SetupFault("cannot reach postgresql://me:hunter2@db/x"))
    assert "hunter2" not in complained(shown)


def test_a_mistake_of_ours_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError), output(as_json=False).guard():
        1 / 0  # noqa: B018


@given(st.integers(-(2**63), 2**63 - 1))
def test_human_amounts_are_exact(amount: int) -> None:
    if abs(amount) <= 2**63 - 1:
        assert parse_credits(human_credits(amount).replace(",", "")) == amount
