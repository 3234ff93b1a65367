"""A small S3 of our own: a bucket in memory behind HTTP, which checks every signature and can be made to fail.

It works out signatures by itself, from what it received, and answers as the real one does where our client looks:
parts are invisible until they are put together, removing what is not there is no error, a failure to put together
comes with a head that says 200.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "AKIDEXAMPLE", "a secret/of+ours", "eu-test-1", "farebox-files"
SMALLEST_PART = 5 * 1024 * 1024


class SmallS3:
    """See the module."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        """Under way: the name and the parts."""
        self.asked: list[str] = []
        self.refused_signatures = 0
        self.failing: list[tuple[str, int]] = []
        """Answers to give instead, each once: the words an address has in it, and the status (0: hang up)."""
        self.numbers = count(1)
        self.stopped = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"s3": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.stopped = True
        self._server.shutdown()
        self._server.server_close()

    def trouble_with(self, asked: str) -> int | None:
        for index, (words, status) in enumerate(self.failing):
            if words in asked:
                del self.failing[index]
                return status
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: SmallS3

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = f"{self.command} {self.path}"
        self.s3.asked.append(asked)
        trouble = 0 if self.s3.stopped else self.s3.trouble_with(asked)
        if trouble == 0:
            self.close_connection = True
        elif trouble == 200:
            self._answer(200, b"<Error><Code>InternalError</Code></Error>")
        elif trouble is not None:
            self._answer(trouble, b"<Error/>")
        elif not self._is_signed(body):
            self.s3.refused_signatures += 1
            self._answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        else:
            self._do(body)

    do_GET = do_PUT = do_POST = do_DELETE = _serve

    def _do(self, body: bytes) -> None:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        root = f"/{BUCKET}"
        if not address.path.startswith(root):
            self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            return
        name = unquote(address.path.removeprefix(root).removeprefix("/"))
        kind = "upload" if "uploadId" in query else "uploads" if "uploads" in query else "blob"
        getattr(self, f"_{self.command.lower()}_{kind}")(name, query, body)

    def _get_blob(self, name: str, _: dict[str, str], __: bytes) -> None:
        blob = self.s3.blobs.get(name)
        self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>") if blob is None else self._answer(200, blob)

    def _put_blob(self, name: str, _: dict[str, str], body: bytes) -> None:
        self.s3.blobs[name] = body
        self._answer(200)

    def _delete_blob(self, name: str, _: dict[str, str], __: bytes) -> None:
        self.s3.blobs.pop(name, None)
        self._answer(204)

    def _post_uploads(self, name: str, _: dict[str, str], __: bytes) -> None:
        upload_id = f"up&{next(self.s3.numbers)}=/"
        self.s3.uploads[upload_id] = (name, {})
        written = upload_id.replace("&", "&amp;")
        self._answer(200, f"<InitiateMultipartUploadResult><UploadId>{written}</UploadId></x>".encode())

    def _get_uploads(self, _: str, query: dict[str, str], __: bytes) -> None:
        listed = "".join(
            f"<Upload><Key>{name}</Key><UploadId>{upload_id.replace('&', '&amp;')}</UploadId></Upload>"
            for upload_id, (name, _) in self.s3.uploads.items()
            if name.startswith(query["prefix"])
        )
        self._answer(200, f"<ListMultipartUploadsResult>{listed}</ListMultipartUploadsResult>".encode())

    def _put_upload(self, _: str, query: dict[str, str], body: bytes) -> None:
        upload = self.s3.uploads.get(query["uploadId"])
        if upload is None:
            self._answer(404, b"<Error><Code>NoSuchUpload</Code></Error>")
            return
        upload[1][int(query["partNumber"])] = body
        self._answer(200, tag=_tag(body))

    def _post_upload(self, name: str, query: dict[str, str], body: bytes) -> None:
        upload = self.s3.uploads.get(query["uploadId"])
        wanted = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag>", body.decode())
        parts = [] if upload is None else [upload[1].get(int(number), b"") for number, _ in wanted]
        tags = [tag.replace("&quot;", '"') for _, tag in wanted]
        if not parts or tags != [_tag(part) for part in parts] or any(len(part) < SMALLEST_PART for part in parts[:-1]):
            self._answer(400, b"<Error><Code>InvalidPart</Code></Error>")
            return
        del self.s3.uploads[query["uploadId"]]
        self.s3.blobs[name] = b"".join(parts)
        self._answer(200, b"<?xml?>\n<CompleteMultipartUploadResult/>")

    def _delete_upload(self, _: str, query: dict[str, str], __: bytes) -> None:
        known = self.s3.uploads.pop(query["uploadId"], None)
        self._answer(204 if known else 404)

    def _answer(self, status: int, body: bytes = b"", *, tag: str | None = None) -> None:
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _is_signed(self, body: bytes) -> bool:
        """Signature Version 4, worked out from the request as it arrived."""
        given = dict(re.findall(r"(\w+)=([^,\s]+)", self.headers.get("authorization", "")))
        if not {"Credential", "SignedHeaders", "Signature"} <= given.keys():
            return False
        access_key, day, region, *rest = given["Credential"].split("/")
        names = given["SignedHeaders"].split(";")
        digest = self.headers.get("x-amz-content-sha256", "")
        if access_key != ACCESS_KEY or region != REGION or digest != hashlib.sha256(body).hexdigest():
            return False
        path, _, query = self.path.partition("?")
        pairs = sorted(parse_qsl(query, keep_blank_values=True))
        canonical = [self.command, path, "&".join(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in pairs)]
        canonical += [f"{name}:{self.headers[name]}" for name in names] + ["", ";".join(names), digest]
        at = self.headers["x-amz-date"]
        scope = "/".join([day, region, *rest])
        hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
        key = b"AWS4" + SECRET_KEY.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        expected = hmac.digest(key, f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashed}".encode(), "sha256").hex()
        return {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names) and given["Signature"] == expected

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def small_s3() -> Generator[SmallS3]:
    """A running store."""
    s3 = SmallS3()
    s3.start()
    try:
        yield s3
    finally:
        s3.stop()


def _tag(part: bytes) -> str:
    return f'"{hashlib.md5(part, usedforsecurity=False).hexdigest()}"'
