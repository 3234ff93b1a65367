"""Where requests go, with every byte of their head that can be known beforehand.

A `Target` is made once per channel; `compose` then only joins it with what differs per request. Nothing here
does I/O. A request whose parts would make more than one request on the wire is refused (`RequestInvalid`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from urllib.parse import SplitResult, urlsplit

from farebox.faults import SetupFault
from farebox.upstream.proxy import Proxy
from farebox.upstream.trouble import RequestInvalid

Headers = Sequence[tuple[bytes, bytes]]

_HTTP_WORD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(rb"/[!-~]*")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_BASE_URL = "an upstream's base URL is written http[s]://host[:port][/path]"
# Framing and the connection belong to the client: nobody else may name them.
_OWN_HEADERS = frozenset(
    b"host content-length transfer-encoding connection keep-alive proxy-connection proxy-authorization "
    b"te trailer upgrade expect".split()
)
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
_MOST_SEEN = 1024
_SEEN: set[bytes] = set()
"""Names of headers that were found good: the same few dozen come again and again."""
_name_of = itemgetter(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A parsed origin. Targets of equal `origin` share their connections."""

    host: str
    port: int
    secure: bool = False
    unix_path: str | None = None
    proxy: Proxy | None = None
    server_name: str | None = None
    origin: str = field(repr=False)
    before_path: bytes = field(repr=False)
    after_path: bytes = field(repr=False)

    @classmethod
    def parse(
        cls, url: str, *, proxy: str | None = None, server_name: str | None = None, headers: Headers = ()
    ) -> Target:
        """Read `http[s]://host[:port][/path]`; the path is put before every request's path.

        `headers` go with every request, prebuilt. `server_name` is what TLS asks for and checks instead of the
        host. `proxy` is an outbound proxy's URL. Raises `SetupFault` for anything else in the URL, credentials
        above all.
        """
        parts = _split(url)
        secure = parts.scheme == "https"
        host, port = _host_and_port(parts, 443 if secure else 80)
        through = Proxy.parse(proxy) if proxy else None
        name = host if port == (443 if secure else 80) else f"{host}:{port}"
        absolute = f"http://{name}" if through and not secure else ""
        extra = through.header_line if through and not secure else b""
        return cls(
            host=host.strip("[]"),
            port=port,
            secure=secure,
            proxy=through,
            server_name=server_name,
            origin=f"{parts.scheme} {host}:{port} {server_name or ''} {proxy or ''}",
            before_path=f" {absolute}{_base_path(parts.path)}".encode("ascii"),
            after_path=_after_path(name, headers) + extra,
        )

    @classmethod
    def unix(cls, path: str, *, headers: Headers = ()) -> Target:
        """A server of our own on a unix socket. Internal only: never made from what an operator typed."""
        return cls(
            host="localhost",
            port=0,
            unix_path=path,
            origin=f"unix {path}",
            before_path=b" ",
            after_path=_after_path("localhost", headers),
        )

    @property
    def authority(self) -> bytes:
        """`host:port`, as CONNECT wants it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode("ascii")


def compose(target: Target, method: bytes, path: bytes, headers: Headers, body_size: int) -> bytes:
    """The head of a request, up to where its body begins.

    Raises `RequestInvalid` when a piece holds a line break or NUL, when a header belongs to the client
    (`host`, `content-length`, `connection`, ...), or when method or path are malformed.
    """
    if not _fits_request_line(method, path):
        raise RequestInvalid("the request's method or path cannot be sent")
    lines = _header_lines(headers) if headers else b""
    end = b"content-length: %d\r\n\r\n" % body_size if body_size or method in _WITH_BODY else b"\r\n"
    return b"".join((method, target.before_path, path, target.after_path, lines, end))


def _header_lines(headers: Headers) -> bytes:
    if not _SEEN.issuperset(map(_name_of, headers)):
        _check_names(headers)
    lines = b"\r\n".join(map(b": ".join, headers))
    # No more of what ends a line than there is between the headers, so no header holds any.
    if len(lines) - len(lines.translate(None, b"\r\n\0")) != 2 * len(headers) - 2:
        raise RequestInvalid("a request header cannot be sent")
    return lines + b"\r\n"


def _check_names(headers: Headers) -> None:
    for name, _ in headers:
        if not _HTTP_WORD.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise RequestInvalid("a request header cannot be sent")
        if len(_SEEN) < _MOST_SEEN:
            _SEEN.add(name)


@lru_cache(maxsize=1024)
def _fits_request_line(method: bytes, path: bytes) -> bool:
    return bool(_HTTP_WORD.fullmatch(method)) and method != b"CONNECT" and bool(_PATH.fullmatch(path))


def _after_path(name: str, headers: Headers) -> bytes:
    try:
        lines = _header_lines(headers) if headers else b""
    except RequestInvalid as error:
        raise SetupFault("a header set for an upstream cannot be sent") from error
    return b" HTTP/1.1\r\nhost: " + name.encode("ascii") + b"\r\n" + lines


def _base_path(path: str) -> str:
    path = path.rstrip("/")
    if path and not _PATH.fullmatch(path.encode()):
        raise SetupFault(_BASE_URL)
    return path


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SetupFault(_BASE_URL) from None
    # `urlsplit` drops line breaks and tabs without a word.
    if not url.isprintable() or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise SetupFault(_BASE_URL)
    if parts.username is not None:
        raise SetupFault(f"{_BASE_URL}, without credentials")
    return parts


def _host_and_port(parts: SplitResult, default_port: int) -> tuple[str, int]:
    name = parts.hostname or ""
    try:
        port = parts.port or default_port
        host = f"[{name}]" if ":" in name else name.encode("idna").decode("ascii")
    except ValueError:
        raise SetupFault(_BASE_URL) from None
    if not _HOST.fullmatch(host):
        raise SetupFault(_BASE_URL)
    return host, port
