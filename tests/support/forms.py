"""Forms as a client would send them: whole, or piece by piece for tests that stop in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BOUNDARY = "farebox-test-boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def field(name: str, text: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()


def file_head(filename: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
    return f"{head}Content-Type: application/octet-stream\r\n\r\n".encode()


END = f"--{BOUNDARY}--\r\n".encode()
"""Of a form; after content it needs a line end before it."""


def form(content: bytes, filename: str = "notes.txt", **fields: str) -> bytes:
    """A whole form: a file for `user_data` unless told otherwise."""
    given = {"purpose": "user_data", **fields}
    return _fields(given) + file_head(filename) + content + b"\r\n" + END


def pieces(content: Iterable[bytes], filename: str, fields: Mapping[str, str]) -> Iterable[bytes]:
    """The same for content of any length."""
    yield _fields(fields) + file_head(filename)
    yield from content
    yield b"\r\n" + END


def _fields(given: Mapping[str, str]) -> bytes:
    return b"".join(field(name.replace("__", "-"), text) for name, text in given.items())
