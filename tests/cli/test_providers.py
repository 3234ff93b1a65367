"""Channels, prices and quotes from the command line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import Farebox

PRIVATE = {"FAREBOX_ALLOW_PRIVATE_UPSTREAMS": "true"}
GOOD, BAD = "sk-upstream-good-1234", "sk-upstream-bad-5678"


class Provider(BaseHTTPRequestHandler):
    """Knows one key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        known = self.headers["authorization"] == f"Bearer {GOOD}"
        body = b'{"choices":[]}' if known else f'{{"error":"no such key {BAD}"}}'.encode()
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The base URL of a provider."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def channel(farebox: Farebox, provider: str) -> str:
    """A channel with one good key."""
    models = ("--model", "gpt-4o=theirs", "--model", "text-embedding-3-small")
    made = farebox.json("channel", "add", "first", "--base-url", provider, *models, "--key-env", "MY_KEY", MY_KEY=GOOD)
    assert made["models"] == ["gpt-4o=theirs", "text-embedding-3-small"]
    assert made["keys"] == ["…1234"]
    return made["name"]


def test_the_sandbox_needs_neither_address_nor_key_nor_models(farebox: Farebox) -> None:
    made = farebox.json("channel", "add", "sandbox", "--dialect", "sandbox")
    assert len(made["models"]) > 40
    assert farebox.json("channel", "test", "sandbox")[0]["well"] is True
    assert farebox.json("channel", "remove", "sandbox")["removed"] is True


def test_a_channel_is_tried_with_each_of_its_keys(farebox: Farebox, channel: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{GOOD}\n{BAD}\n")
    farebox.json("channel", "rotate-key", channel, "--key-file", str(keys))
    ran = farebox.run("channel", "test", channel, **PRIVATE)
    assert ran.code == 1
    assert "the channel works" in ran.out
    assert "The provider refuses this key" in ran.out
    assert BAD not in ran.out
    farebox.json("channel", "rotate-key", channel, "--key-env", "MY_KEY", MY_KEY=GOOD)
    assert [trial["well"] for trial in farebox.json("channel", "test", channel, **PRIVATE)] == [True]


def test_a_private_address_is_explained(farebox: Farebox, channel: str) -> None:
    ran = farebox.run("channel", "test", channel)
    assert ran.code == 1
    assert "FAREBOX_ALLOW_PRIVATE_UPSTREAMS" in ran.out


def test_an_upstream_key_is_read_from_standard_input_and_never_shown(farebox: Farebox, provider: str) -> None:
    ran = farebox.run("channel", "add", "piped", "--base-url", provider, "--models-of", "openai", stdin=f"{GOOD}\n")
    assert ran.code == 0
    assert GOOD not in ran.out + ran.err + farebox.run("channel", "show", "piped", "--json").out
    warned = farebox.run("channel", "rotate-key", "piped", "--key", GOOD)
    assert warned.code == 0
    assert "history" in warned.err
    assert GOOD not in warned.out + warned.err


def test_an_edit_changes_what_it_names_and_nothing_else(farebox: Farebox, channel: str) -> None:
    before = farebox.json("channel", "show", channel)
    wished = ("--priority", "5", "--concurrency", "8", "--header", "X-Team=a", "--parameter", "store=false")
    after = farebox.json("channel", "edit", channel, *wished, "--idle-timeout-s", "30")
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"priority", "concurrency", "headers", "parameters", "timeouts"}
    assert farebox.json("channel", "disable", channel)["enabled"] is False
    assert farebox.json("channel", "enable", channel)["enabled"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("channel", "add", "x", "--base-url", "https://a.example/v1"), 2, "--models-of openai"),
        (("channel", "add", "x", "--model", "gpt-4o"), 2, "--base-url"),
        (("channel", "add", "x", "--base-url", "ftp://a", "--model", "gpt-4o"), 4, "wrong"),
        (("channel", "add", "x", "--base-url", "https://a.example", "--model", "gpt-4o"), 2, "No upstream key"),
        (("channel", "add", "x", "--base-url", "https://a", "--model", "gpt-4o", "--key-env", "NOT_SET"), 2, "NOT_SET"),
        (("channel", "add", "first", "--dialect", "sandbox"), 5, "exists already"),
        (("channel", "show", "none"), 3, "farebox channel list"),
        (("price", "show", "gpt-4p"), 3, "Did you mean gpt-4"),
        (("price", "import", "/nowhere.yaml"), 2, "farebox price export"),
    ],
)
def test_every_mistake_has_its_exit_code_and_a_way_on(
    farebox: Farebox, channel: str, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ran = farebox.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err


def test_an_exported_list_changes_nothing_when_compared(farebox: Farebox, tmp_path: Path) -> None:
    exported = tmp_path / "prices.yaml"
    exported.write_text(farebox.run("price", "export").out)
    compared = farebox.json("price", "diff", str(exported))
    assert (compared["added"], compared["not_in_the_list"], compared["changed"]) == ([], [], [])
    assert farebox.run("price", "export", str(exported)).code == 5


def test_new_prices_are_compared_imported_and_shown(farebox: Farebox, tmp_path: Path) -> None:
    prices = yaml.safe_load(farebox.run("price", "export").out)
    model = next(entry for entry in prices["models"] if entry["id"] == "gpt-4o")
    model["price"]["rates"]["input"] = "6"
    new = tmp_path / "new.json"
    new.write_text(yaml.safe_dump({"name": "new", "models": [model]}))
    changed = farebox.json("price", "diff", str(new))["changed"]
    assert [(each["where"], each["before"], each["after"]) for each in changed] == [
        ("price input", "5 per 1000000", "6 per 1000000")
    ]
    assert farebox.run("price", "import", str(new), "--starts", "2020-01-01").code == 5
    assert farebox.json("price", "import", str(new), "--starts", "7d")["repriced"] == ["gpt-4o"]
    versions = farebox.json("price", "show", "gpt-4o")["versions"]
    assert [(each["state"], each["prices"]["input"]) for each in versions] == [
        ("in force", "5 per 1000000"),
        ("to come", "6 per 1000000"),
    ]


def test_a_list_that_is_not_understood_is_refused_whole(farebox: Farebox, tmp_path: Path) -> None:
    odd = tmp_path / "odd.yaml"
    odd.write_text("name: odd\nmodels: [{id: strange, display_name: Strange, cost_per_token: 1}]\n")
    ran = farebox.run("price", "import", str(odd))
    assert ran.code == 5
    assert "cost_per_token: unknown field" in ran.err
    assert "strange" not in farebox.run("price", "list", "--json").out


def test_models_are_listed_by_provider_and_type(farebox: Farebox) -> None:
    listed = farebox.json("price", "list", "--provider", "openai", "--type", "embedding")
    assert {row["id"] for row in listed} == {"text-embedding-3-small", "text-embedding-3-large"}
    assert all(row["billing_methods"] == ["token"] for row in listed)


def test_a_quote_says_what_would_be_held_or_why_not(farebox: Farebox, tmp_path: Path) -> None:
    farebox.json("account", "create", "Ann", "--tier", "basic", "--credits", "10")
    farebox.json("key", "create", "Ann", "--name", "mine")
    quoted = farebox.json("quote", "mine", "gpt-4o-mini", "--max-tokens", "100")
    assert quoted["would_hold"] == quoted["worst_case"]
    assert quoted["would_be_refused"] is None
    assert "model_tier_restricted" in farebox.run("quote", "mine", "gpt-4o").out
    body = tmp_path / "body.json"
    body.write_text('{"model":"text-embedding-3-small","input":"hello"}')
    assert farebox.json("quote", "mine", "--body", str(body))["model"] == "text-embedding-3-small"
    assert farebox.run("quote", "mine").code == 2
