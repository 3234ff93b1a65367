"""What a request looks like on the wire, and what is never put there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.upstream_client.reading import QUICK
from tests.upstream_client.scripted import Peer, Scripted

from farebox.faults import SetupFault
from farebox.upstream.client import HttpClient, Outgoing
from farebox.upstream.target import Target, compose
from farebox.upstream.trouble import RequestInvalid

TARGET = Target.parse("https://api.example/v1/", headers=[(b"authorization", b"Bearer sk-secret")])


def test_a_request_is_written_in_this_way() -> None:
    assert compose(TARGET, b"POST", b"/chat", [(b"X-Id", b"1"), (b"accept", b"*/*")], 12) == (
        b"POST /v1/chat HTTP/1.1\r\nhost: api.example\r\nauthorization: Bearer sk-secret\r\n"
        b"X-Id: 1\r\naccept: */*\r\ncontent-length: 12\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "size", "announced"),
    [(b"POST", 0, True), (b"PUT", 0, True), (b"GET", 0, False), (b"DELETE", 0, False), (b"DELETE", 3, True)],
)
def test_a_length_is_announced_where_a_body_is_expected(method: bytes, size: int, announced: bool) -> None:
    assert (b"content-length" in compose(TARGET, method, b"/", (), size)) is announced


@pytest.mark.parametrize(
    ("url", "host", "port", "host_header"),
    [
        ("http://api.example", "api.example", 80, b"api.example"),
        ("https://API.example:443/", "api.example", 443, b"api.example"),
        ("https://api.example:8443/v1", "api.example", 8443, b"api.example:8443"),
        ("http://[::1]:8080", "::1", 8080, b"[::1]:8080"),
        ("https://bücher.example", "xn--bcher-kva.example", 443, b"xn--bcher-kva.example"),
    ],
)
def test_a_base_url_is_read(url: str, host: str, port: int, host_header: bytes) -> None:
    target = Target.parse(url)
    assert (target.host, target.port, target.secure) == (host, port, url.startswith("https"))
    assert b"\r\nhost: %s\r\n" % host_header in compose(target, b"GET", b"/", (), 0)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "ftp://api.example",
        "https://",
        "https://key:secret@api.example",
        "https://a/?q=1",
        "https://a/#f",
        "https://a:secret",
        "https://a:99999",
        "https://a b",
        "https://a/b c",
        "http://a\r\nb",
        "http://[::1",
    ],
)
def test_anything_else_is_told_to_the_operator_without_repeating_it(url: str) -> None:
    with pytest.raises(SetupFault) as caught:
        Target.parse(url)
    assert "secret" not in str(caught.value)


def test_neither_a_target_nor_its_proxy_shows_its_secrets() -> None:
    target = Target.parse("https://a", headers=[(b"x-api-key", b"sk-secret")], proxy="http://u:secret@proxy")
    assert "secret" not in repr(target)


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nb: c"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0"),
        (b"x\r\ny", b"z"),
        (b"x: y", b"z"),
        (b"", b"z"),
        (b"x ", b"z"),
        (b"h\xc3\xa9", b"z"),
        (b"Host", b"evil"),
        (b"content-length", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"connection", b"close"),
        (b"EXPECT", b"100-continue"),
        (b"te", b"x"),
    ],
)
def test_a_header_that_could_change_the_framing_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(RequestInvalid) as caught:
        compose(TARGET, b"POST", b"/", [(b"accept", b"*/*"), header], 5)
    assert "evil" not in str(caught.value)
    with pytest.raises(SetupFault):
        Target.parse("https://a", headers=[header])


@pytest.mark.parametrize("path", [b"", b"x", b"/a b", b"/a\r\nb", b"/a\tb", b"/\xff", b"http://other/"])
def test_a_malformed_path_is_refused(path: bytes) -> None:
    with pytest.raises(RequestInvalid):
        compose(TARGET, b"POST", path, (), 0)


@pytest.mark.parametrize("method", [b"", b"GET /", b"G\r\n", b"CONNECT"])
def test_a_malformed_method_is_refused(method: bytes) -> None:
    with pytest.raises(RequestInvalid):
        compose(TARGET, method, b"/", (), 0)


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=10))
def test_whatever_is_given_a_head_stays_one_head(name: bytes, value: bytes, path: bytes) -> None:
    try:
        head = compose(TARGET, b"POST", b"/" + path, [(name, value)], 3)
    except RequestInvalid:
        return
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == 6
    assert head.index(b"\r\n\r\n") == len(head) - 4
    assert head.lower().count(b"\r\ncontent-length:") == 1


async def test_a_refused_request_opens_no_connection(client: HttpClient) -> None:
    async def script(peer: Peer) -> None:
        raise AssertionError("a connection was made")

    async with Scripted(script) as server:
        with pytest.raises(RequestInvalid):
            await client.send(Target.parse(server.url), Outgoing(b"POST", b"/\r\n", (), b""), QUICK)
        assert server.connections == 0


async def test_a_unix_socket_serves_where_loopback_is_forbidden(tmp_path: Path) -> None:
    client = HttpClient()

    async def script(peer: Peer) -> None:
        while True:
            seen = await peer.answer()
            assert seen.line == b"POST /v1/x HTTP/1.1"
            assert seen.headers == {b"host": b"localhost", b"content-length": b"2", b"x-a": b"b"}

    path = str(tmp_path / "s")
    async with Scripted(script, unix=path) as server:
        target = Target.unix(path, headers=[(b"x-a", b"b")])
        for _ in range(2):
            response = await client.send(target, Outgoing(b"POST", b"/v1/x", (), b"{}"), QUICK)
            assert await response.read(10) == b"ok"
        assert server.connections == 1
    client.close()
