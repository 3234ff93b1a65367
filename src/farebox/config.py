"""The one table of settings: the fields of `Settings`, with unit last in the name, type, default and help.

In come flags, `FAREBOX_…` variables and a TOML file, in that order of precedence; out comes one frozen `Settings`, read
once at start. A name that is not in the table is refused with the nearest one that is. A new setting is one row here:
its flag, its variable, its line in `farebox serve --help` and in the reference page follow from it.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from farebox.faults import SetupFault
from farebox.money import parse_credits

PREFIX = "FAREBOX_"
CONFIG_VARIABLE = "FAREBOX_CONFIG"
FOREIGN_VARIABLES = frozenset({CONFIG_VARIABLE, "FAREBOX_API_KEY", "FAREBOX_BASE_URL"})
"""Variables of our name that are no settings: where the file is, and what customers set for their clients."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[int, Meta(ge=0)]


def default_data_dir() -> Path:
    """`/var/lib/farebox` as root, otherwise `farebox` in the user's data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/farebox")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "farebox"


class Row(NamedTuple):
    """What the table says of a setting beside its name, type and default."""

    help: str
    default: str = ""
    """The default in words, where the value itself would tell nothing."""
    secret: bool = False
    """Never printed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the operator can set. The order is that of the reference page."""

    host: Annotated[str, Row("Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1"
    port: Annotated[Port, Row("Port to listen on; 0 takes a free one.")] = 8080
    workers: Annotated[Count, Row("Processes that serve; about one per core.")] = 1
    data_dir: Annotated[
        Path,
        Row(
            "Where the embedded database and the secret key are kept.",
            default="/var/lib/farebox as root, else ~/.local/share/farebox",
        ),
    ] = msgspec.field(default_factory=default_data_dir)
    database_url: Annotated[
        str, Row("An external PostgreSQL, as a postgresql:// URL.", default="the embedded one", secret=True)
    ] = ""
    database_connections: Annotated[Count, Row("Connections to PostgreSQL per worker, beside the ledger's.")] = 8
    secret_key_file: Annotated[
        Path | None,
        Row(
            "File with the key that encrypts upstream keys; made at the first start. Keep a copy of it.",
            default="secret.key in the data directory",
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Row("The least severe messages that are written.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], Row("json: a line of JSON each, for machines; text: for reading along.")
    ] = "json"
    metrics: Annotated[bool, Row("Serve Prometheus metrics at /metrics.")] = True
    metrics_token: Annotated[
        str, Row("Bearer word that /metrics asks for.", default="none is asked for", secret=True)
    ] = ""

    starter_credits: Annotated[str, Row("Credits granted to every new account, as a decimal.")] = "0"
    top_up_url: Annotated[str, Row("Where a customer without credits is sent.", default="none")] = ""
    limit_scope: Annotated[
        Literal["account", "key"], Row("Whether the limits of a tier count per account or per API key.")
    ] = "account"
    died_mid_answer: Annotated[
        Literal["none", "produced"],
        Row("What is charged when an upstream dies mid-answer: nothing, or what was produced."),
    ] = "none"
    hold_ttl_s: Annotated[Count, Row("Hard deadline of a request's hold, in database time.")] = 3600
    commit_gap_ms: Annotated[Amount, Row("Least time between two commits of the ledger under load.")] = 0

    body_limit_bytes: Annotated[Count, Row("Largest request body.")] = 32 * 1024 * 1024
    max_connections: Annotated[Count, Row("Client connections open at once, per worker.")] = 4096
    upstream_connections: Annotated[Count, Row("Connections to one upstream host, per worker.")] = 4096
    trusted_proxies: Annotated[
        tuple[str, ...],
        Row("Networks whose X-Forwarded-For is believed, as CIDR.", default="none"),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...], Row("Web origins that browsers may call from; * for all.", default="none")
    ] = ()
    allow_private_upstreams: Annotated[bool, Row("Let channels point at loopback and private networks.")] = False
    safety_identifier: Annotated[
        bool,
        Row("Send a hashed identifier of the account upstream, so that one abuser does not cost the upstream key."),
    ] = False
    store_responses: Annotated[
        bool, Row("Store answers of the Responses endpoint, sealed, for later turns to go on from.")
    ] = True
    response_retention_days: Annotated[Count, Row("How long a stored response is kept after its last turn.")] = 30
    files_dir: Annotated[
        Path | None, Row("Folder of uploaded files, where no bucket is named.", default="files in the data directory")
    ] = None
    files_s3_endpoint: Annotated[
        str, Row("Store uploaded files with this S3-compatible store: http[s]://host[:port].", default="the folder")
    ] = ""
    files_s3_bucket: Annotated[str, Row("Bucket of uploaded files; it must exist.", default="none")] = ""
    files_s3_region: Annotated[str, Row("Region of the bucket, as requests are signed for.")] = "us-east-1"
    files_s3_access_key: Annotated[str, Row("Access key id for the bucket.", default="none")] = ""
    files_s3_secret_key: Annotated[str, Row("Secret access key for the bucket.", default="none", secret=True)] = ""
    connect_timeout_s: Annotated[Count, Row("Longest wait for an upstream's connection.")] = 10
    first_byte_timeout_s: Annotated[Count, Row("Longest wait for an upstream's first byte.")] = 600
    idle_timeout_s: Annotated[Count, Row("Longest silence of an upstream within an answer.")] = 300
    total_timeout_s: Annotated[Count, Row("Longest time for a whole answer.")] = 1800
    queue_timeout_s: Annotated[Count, Row("Longest wait for a free slot on a busy channel.")] = 60
    ping_interval_s: Annotated[Count, Row("Silence in a stream after which a comment keeps it open.")] = 15
    drain_timeout_s: Annotated[Count, Row("Time that running answers get to end at shutdown.")] = 30

    @property
    def secret_key_path(self) -> Path:
        """Where the secret key is, the default worked out."""
        return self.secret_key_file or self.data_dir / "secret.key"

    @property
    def files_path(self) -> Path:
        """Where the folder of files is, the default worked out."""
        return self.files_dir or self.data_dir / "files"

    @property
    def embedded(self) -> bool:
        """Whether the database is the embedded one."""
        return not self.database_url

    def shown(self) -> dict[str, object]:
        """All settings, fit to be printed: secrets that are set read `(set)`."""
        values = msgspec.structs.asdict(self)
        return {row.name: "(set)" if row.secret and values[row.name] else values[row.name] for row in settings_table()}

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{name}={value!r}" for name, value in self.shown().items()) + ")"


class _Found(NamedTuple):
    name: str
    value: object
    origin: str
    """Where it was found, as the operator knows it."""


class Setting(NamedTuple):
    """One row of the table, as the makers of help, options and reference see it."""

    name: str
    kind: str
    """What is written: `text`, `path`, `decimal`, `whole number`, `true or false`, `list`, or choices `a or b`."""
    default: str
    help: str
    secret: bool

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Read the settings: flags before variables before the TOML file before defaults. Flags that are None are unset.

    `file` defaults to the variable FAREBOX_CONFIG. Raises `SetupFault`, naming where a value came from, for unknown
    names, values of the wrong kind or out of range, and files that cannot be read.
    """
    environment = os.environ if environment is None else environment
    named = environment.get(CONFIG_VARIABLE)
    sources = (
        _from_file(file or (Path(named) if named else None)),
        _from_environment(environment),
        _from_flags(flags or {}),
    )
    found = list(chain.from_iterable(sources))
    _refuse_unknown(found)
    last = {one.name: one for one in found}
    return msgspec.convert({name: _value(one) for name, one in last.items()}, Settings)


def settings_table() -> list[Setting]:
    """The rows, in order."""
    return [
        Setting(name, _kind(hint), row.default or _written(_DEFAULTS[name]), row.help, row.secret)
        for name, hint in _HINTS.items()
        for row in [_row_of(hint)]
    ]


def settings_markdown() -> str:
    """The reference page `docs/reference/settings.md`."""
    lines = [_PAGE_HEAD]
    for row in settings_table():
        kind = row.kind + (" (secret)" if row.secret else "")
        lines.append(f"| `{row.name}` | `{row.variable}` | {kind} | {row.default} | {row.help} |\n")
    return "".join(lines)


_PAGE_HEAD = """\
# Settings

Generated from the table in `src/farebox/config.py`. A flag of `farebox serve` comes before the environment variable,
the variable before the TOML file (`--config`, or `FAREBOX_CONFIG`), the file before the default. The flag of a setting
is its name with dashes: `--hold-ttl-s`. Lists are written with commas in flags and variables. A name that is not in
this table is refused.

| setting | variable | kind | default | what it does |
|---|---|---|---|---|
"""

_HINTS = get_type_hints(Settings, include_extras=True)
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Settings)}
_KINDS = {str: "text", int: "whole number", bool: "true or false", Path: "path"}


def _row_of(hint: Any) -> Row:
    return next(part for part in hint.__metadata__ if isinstance(part, Row))


def _kind(hint: Any) -> str:
    bare = hint.__origin__
    if get_origin(bare) is Literal:
        return " or ".join(get_args(bare))
    if get_origin(bare) is tuple:
        return "list"
    return _KINDS.get(bare, "path")


def _written(default: object) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    return str(default)


def _from_flags(flags: Mapping[str, object]) -> Iterator[_Found]:
    for name, value in flags.items():
        if value is not None:
            yield _Found(name, value, "--" + name.replace("_", "-"))


def _from_environment(environment: Mapping[str, str]) -> Iterator[_Found]:
    for variable, value in sorted(environment.items()):
        if variable.startswith(PREFIX) and variable not in FOREIGN_VARIABLES:
            yield _Found(variable.removeprefix(PREFIX).lower(), value, variable)


def _from_file(file: Path | None) -> Iterator[_Found]:
    if file is None:
        return
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as trouble:
        raise SetupFault(f"The settings file {file} cannot be read: {trouble.strerror}.") from trouble
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as trouble:
        raise SetupFault(f"The settings file {file} is not TOML: {trouble}.") from trouble
    for name, value in content.items():
        yield _Found(name, value, f"{name} in {file}")


def _refuse_unknown(found: Iterable[_Found]) -> None:
    for name, _, origin in found:
        if name not in _HINTS:
            near = difflib.get_close_matches(name, _HINTS, n=1)
            advice = f"Did you mean {near[0]}?" if near else "`farebox serve --help` lists all settings."
            raise SetupFault(f"{origin} is not a setting. {advice}")


def _value(found: _Found) -> object:
    """From text leniently (`8080`, `true`, `a, b`), from TOML as TOML has it; then what the type alone cannot say."""
    hint, value = _HINTS[found.name], found.value
    from_text = isinstance(value, str)
    if isinstance(value, str) and _kind(hint) == "list":
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        settled = msgspec.convert(value, hint, strict=not from_text, dec_hook=_path)
        if check := _CHECKS.get(found.name):
            check(settled)
    except (msgspec.ValidationError, ValueError) as trouble:
        raise SetupFault(f"{found.origin}: {_in_words(trouble, hint)}.") from trouble
    return settled


def _path(kind: type, value: object) -> Path:
    if kind is Path and isinstance(value, str) and value:
        return Path(value).expanduser()
    raise ValueError("expected a path")


def _in_words(trouble: Exception, hint: Any) -> str:
    text = str(trouble)
    if _kind(hint) == "true or false":
        return "expected true or false"
    if " or " in _kind(hint):
        return f"expected one of {_kind(hint)}"
    return text[:1].lower() + text[1:].replace("`int`", "a whole number").replace("`str`", "text")


def _check_not_negative(text: str) -> None:
    if parse_credits(text) < 0:
        raise ValueError("expected zero or more credits")


def _check_networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        ipaddress.ip_network(network)


def _check_url(url: str) -> None:
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("expected postgresql://user:password@host:port/database")


def _check_endpoint(url: str) -> None:
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("expected http[s]://host[:port]")


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "starter_credits": _check_not_negative,
    "trusted_proxies": _check_networks,
    "database_url": _check_url,
    "files_s3_endpoint": _check_endpoint,
}
