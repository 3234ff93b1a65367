"""The overview, the reference page, and what every command has in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Farebox

from farebox.cli.app import PLACES, load
from farebox.cli.reference import cli_markdown, commands

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "cli.md"


@pytest.fixture
def alone(tmp_path: Path) -> Farebox:
    """The command without any database."""
    return Farebox(tmp_path / "data")


def test_the_overview_names_every_command(alone: Farebox) -> None:
    shown = alone.run("--help")
    assert shown.code == 0
    for name in PLACES:
        assert name in shown.out


def test_the_overview_loads_nothing_that_serves_or_stores() -> None:
    heavy = ("uvicorn", "asyncpg", "cryptography", "openai", "yaml", "farebox.main")
    code = f"import sys, farebox.cli.app; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", PLACES)
def test_a_command_says_of_itself_what_the_overview_says(name: str) -> None:
    own = (load(name).help or "").strip()
    assert own.startswith(PLACES[name].summary.rstrip("."))


@pytest.mark.parametrize("command", commands(), ids=lambda each: each.name)
def test_every_command_speaks_json_and_explains_itself(command: Any) -> None:
    assert "--json" in [flag for parameter in command.click.params for flag in parameter.opts]
    assert command.click.help
    assert all(parameter.help for parameter in command.click.params if parameter.name != "help")


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == cli_markdown(), (
        "run: python -m farebox.cli.reference > docs/reference/cli.md"
    )


def test_the_installed_command_is_this_one() -> None:
    script = Path(sys.executable).with_name("farebox")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("0.")


def test_a_database_that_is_not_there_is_told_in_words(alone: Farebox) -> None:
    ran = alone.run("account", "list", FAREBOX_DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/x")
    assert ran.code == 4
    assert "FAREBOX_DATABASE_URL" in ran.err
    assert "Traceback" not in ran.err
    assert "hunter2" not in ran.err


def test_a_variable_that_is_no_setting_is_told_with_the_nearest_that_is(alone: Farebox) -> None:
    ran = alone.run("account", "list", FAREBOX_DATA_DIRECTORY="/x")
    assert ran.code == 4
    assert "Did you mean data_dir?" in ran.err
