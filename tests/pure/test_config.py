"""Settings: one table, four sources in order, nothing unknown, nothing secret in print."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.config import Settings, load_settings, settings_markdown, settings_table
from farebox.faults import SetupFault

SECRET = "postgresql://owner:hunter2@db/farebox"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "farebox.toml"
    path.write_text('port = 1111\nhost = "file"\nworkers = 2\ntrusted_proxies = ["10.0.0.0/8"]\nmetrics = false\n')
    return path


def test_flags_come_before_variables_before_the_file_before_defaults(file: Path) -> None:
    environment = {"FAREBOX_CONFIG": str(file), "FAREBOX_PORT": "2222", "FAREBOX_HOST": "variable"}
    settings = load_settings({"port": "3333", "host": None}, environment=environment)
    assert (settings.port, settings.host, settings.workers, settings.idle_timeout_s) == (3333, "variable", 2, 300)


def test_a_file_named_by_flag_comes_before_one_named_by_variable(file: Path) -> None:
    assert load_settings(environment={"FAREBOX_CONFIG": "/nowhere"}, file=file).port == 1111


def test_with_nothing_set_every_setting_has_its_default() -> None:
    assert load_settings(environment={}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("FAREBOX_PORT", "0", "port", 0),
        ("FAREBOX_METRICS", "false", "metrics", False),
        ("FAREBOX_METRICS", "1", "metrics", True),
        ("FAREBOX_TRUSTED_PROXIES", "10.0.0.0/8, ::1/128", "trusted_proxies", ("10.0.0.0/8", "::1/128")),
        ("FAREBOX_CORS_ORIGINS", "", "cors_origins", ()),
        ("FAREBOX_DATA_DIR", "/srv/farebox", "data_dir", Path("/srv/farebox")),
        ("FAREBOX_STARTER_CREDITS", "0.5", "starter_credits", "0.5"),
        ("FAREBOX_LIMIT_SCOPE", "key", "limit_scope", "key"),
        ("FAREBOX_DATABASE_URL", SECRET, "database_url", SECRET),
    ],
)
def test_variables_are_read_by_their_kind(variable: str, text: str, name: str, value: object) -> None:
    assert getattr(load_settings(environment={variable: text}), name) == value


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("FAREBOX_PORTS", "1", "FAREBOX_PORTS is not a setting. Did you mean port?"),
        ("FAREBOX_XYZZY", "1", "FAREBOX_XYZZY is not a setting. `farebox serve --help` lists all settings."),
        ("FAREBOX_PORT", "eighty", "FAREBOX_PORT: expected a whole number, got text"),
        ("FAREBOX_PORT", "70000", "FAREBOX_PORT: expected a whole number <= 65535"),
        ("FAREBOX_WORKERS", "0", "FAREBOX_WORKERS: expected a whole number >= 1"),
        ("FAREBOX_METRICS", "maybe", "FAREBOX_METRICS: expected true or false"),
        ("FAREBOX_LIMIT_SCOPE", "planet", "FAREBOX_LIMIT_SCOPE: expected one of account or key"),
        ("FAREBOX_STARTER_CREDITS", "1e3", "is not an amount of credits"),
        ("FAREBOX_STARTER_CREDITS", "-1", "FAREBOX_STARTER_CREDITS: expected zero or more credits"),
        ("FAREBOX_TRUSTED_PROXIES", "10.0.0.0/8, proxy", "FAREBOX_TRUSTED_PROXIES: 'proxy' does not appear to be"),
        ("FAREBOX_DATABASE_URL", "mysql://hunter2@db", "FAREBOX_DATABASE_URL: expected postgresql://"),
        ("FAREBOX_DATA_DIR", "", "FAREBOX_DATA_DIR: expected a path"),
    ],
)
def test_what_is_unknown_or_wrong_is_refused_by_the_name_it_came_under(
    variable: str, text: str, complaint: str
) -> None:
    with pytest.raises(SetupFault) as refused:
        load_settings(environment={variable: text})
    assert complaint in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "is not a setting. Did you mean port?"),
        ('port = "', "is not TOML"),
        ("port = 1.5", "expected a whole number"),
        ("port = true", "expected a whole number"),
        ("[serve]\nport = 1", "is not a setting"),
        ("trusted_proxies = [1]", "expected text"),
    ],
)
def test_a_file_is_held_to_the_table(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "farebox.toml"
    file.write_text(text)
    with pytest.raises(SetupFault) as refused:
        load_settings(environment={}, file=file)
    assert complaint in str(refused.value)
    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there_is_said_so() -> None:
    with pytest.raises(SetupFault, match=r"/nowhere/farebox\.toml cannot be read: No such file"):
        load_settings(environment={"FAREBOX_CONFIG": "/nowhere/farebox.toml"})


def test_what_customers_set_for_their_clients_is_no_setting() -> None:
    assert load_settings(environment={"FAREBOX_API_KEY": "sk-1", "FAREBOX_BASE_URL": "http://x"}) == Settings()


def test_secrets_are_never_printed() -> None:
    settings = load_settings({"database_url": SECRET, "metrics_token": "hunter2"}, environment={})
    for text in (repr(settings), str(settings), f"{settings.shown()}"):
        assert "hunter2" not in text
        assert "(set)" in text


def test_the_secret_key_is_in_the_data_directory_unless_named() -> None:
    assert load_settings({"data_dir": "/srv/d"}, environment={}).secret_key_path == Path("/srv/d/secret.key")
    assert load_settings({"secret_key_file": "/run/key"}, environment={}).secret_key_path == Path("/run/key")


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        load_settings(environment={}).port = 1  # type: ignore[misc]


def test_every_setting_stands_in_the_reference_with_its_help() -> None:
    page = settings_markdown()
    assert [row.name for row in settings_table()] == list(Settings.__struct_fields__)
    for row in settings_table():
        assert f"| `{row.name}` | `{row.variable}` | {row.kind}" in page
        assert row.help.endswith(".")
        assert row.flag == "--" + row.name.replace("_", "-")


def test_names_of_times_and_sizes_end_in_their_unit() -> None:
    for row in settings_table():
        if re.search(r"timeout|interval|ttl|gap", row.name):
            assert row.name.endswith(("_s", "_ms"))
        if "limit" in row.name and row.kind == "whole number":
            assert row.name.endswith("_bytes")


@given(st.dictionaries(st.sampled_from([row.name for row in settings_table()]), st.text(max_size=12)))
def test_any_text_is_a_setting_or_a_setup_fault(flags: dict[str, str]) -> None:
    try:
        settings = load_settings(flags, environment={})
    except SetupFault:
        return
    assert msgspec.convert(msgspec.structs.asdict(settings), Settings) == settings


def test_the_reference_page_is_the_one_generated() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
    assert page.read_text(encoding="utf-8") == settings_markdown(), "write settings_markdown() to that file again"
