"""Files in OpenAI's shapes: uploaded as they arrive, listed, read, given back as they are read, deleted.

A file belongs to an account: another's id is one that does not exist (d55). What is uploaded counts against the tier's
limits and nothing else; no credits are held or charged. Content goes out as bytes to be saved, never as a page.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import structlog

from farebox.admission.refusals import Refusal, RefusalCode
from farebox.admission.state import Tier
from farebox.edge.replies import Download
from farebox.edge.routes import Question, Routes
from farebox.store.blobs import BlobsUnavailable
from farebox.store.catalogue import Catalogue
from farebox.store.files import FileRefusal, Files, NewFile, Page, StoredFile, Upload
from farebox.wire.call import Malformed
from farebox.wire.file_formats import Purpose
from farebox.wire.file_upload import OVERHEAD_BYTES, FileForm
from farebox.wire.multipart import boundary_of

MOST_LISTED = 1_000
"""On one page; who asks for more is told that there is more."""
MOST_ASKED_FOR = 10_000
_CONTENT = "/content"
_FILE_ID = re.compile(r"file-[0-9a-hjkmnp-tv-z]{26}")
_UNPRINTABLE = re.compile(r"[^ !#-\[\]-~]")
_BYTES = b"content-type: application/octet-stream\r\nx-content-type-options: nosniff\r\ncache-control: private\r\n"

log: Any = structlog.get_logger("farebox.files")


class FileRoutes:
    """See the module."""

    def __init__(self, files: Files, catalogue: Catalogue) -> None:
        self._files = files
        self._catalogue = catalogue
        self.routes: Routes = {
            "/v1/files": {"GET": self._list, "POST": self._upload},
            "/v1/files/": {"GET": self._read, "DELETE": self._delete},
        }

    async def _upload(self, question: Question) -> dict[str, Any] | Refusal:
        boundary = boundary_of(_content_type(question))
        if question.wishes.refusal is not None:
            return question.wishes.refusal
        if isinstance(boundary, Malformed):
            return Refusal(RefusalCode.INVALID_PARAMETER, boundary.message, "content-type")
        if boundary is None:
            return _NO_FORM
        tier = self._catalogue.current.tiers[question.view.account.tier]
        try:
            async with self._files.receive(question.view.account.id, tier) as upload:
                stored = await _received(question, upload, FileForm(boundary))
        except BlobsUnavailable as error:
            return _unavailable(error)
        if isinstance(stored, FileRefusal):
            return _no_room(stored, tier)
        return stored if isinstance(stored, Refusal) else file_shape(stored)

    async def _list(self, question: Question) -> dict[str, Any] | Refusal:
        page = _page_of(question)
        if isinstance(page, Refusal):
            return page
        files = await self._files.page(question.view.account.id, page)
        shown = files[: page.limit - 1]
        return {
            "object": "list",
            "data": [file_shape(file) for file in shown],
            "first_id": shown[0].id if shown else None,
            "last_id": shown[-1].id if shown else None,
            "has_more": len(files) > len(shown),
        }

    async def _read(self, question: Question) -> dict[str, Any] | Refusal | Download:
        file_id = question.rest.removesuffix(_CONTENT)
        if not _FILE_ID.fullmatch(file_id):
            return _NO_FILE
        if question.rest.endswith(_CONTENT):
            return await self._content(question, file_id)
        file = await self._files.get(question.view.account.id, file_id)
        return _NO_FILE if file is None else file_shape(file)

    async def _content(self, question: Question, file_id: str) -> Refusal | Download:
        reading = await self._files.read_file(question.view.account.id, file_id)
        if reading is None:
            return _NO_FILE
        blocks = reading.blocks()
        try:
            first = await anext(blocks)
        except BlobsUnavailable as error:
            return _unavailable(error)
        return Download(_BYTES + _disposition(reading.file.filename), reading.file.size, first, blocks)

    async def _delete(self, question: Question) -> dict[str, Any] | Refusal:
        known = _FILE_ID.fullmatch(question.rest)
        if not known or not await self._files.delete(question.view.account.id, question.rest):
            return _NO_FILE
        return {"id": question.rest, "object": "file", "deleted": True}


async def _received(question: Question, upload: Upload, form: FileForm) -> StoredFile | FileRefusal | Refusal:
    """Take the form as it arrives, and keep its file if all is well."""
    told = upload.room.refusal(question.wishes.content_length - OVERHEAD_BYTES)
    if told is not None:
        return told
    async with aclosing(question.asking.arriving()) as pieces:
        async for piece in pieces:
            content = form.feed(piece)
            if isinstance(content, Refusal):
                return content
            for part in content:
                refusal = await upload.write(part)
                if refusal is not None:
                    return refusal
    described = form.end()
    if isinstance(described, Refusal):
        return described
    return await upload.keep(NewFile(described.filename, described.purpose.value, described.expires_after_s))


def file_shape(file: StoredFile) -> dict[str, Any]:
    """A file as OpenAI shows one."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_us // 1_000_000,
        "expires_at": None if file.expires_us is None else file.expires_us // 1_000_000,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def _page_of(question: Question) -> Page | Refusal:
    """The page asked for, and one file more, which tells whether there is another."""
    given = question.parameters
    limit, order, purpose = given.get("limit", str(MOST_ASKED_FOR)), given.get("order", "desc"), given.get("purpose")
    if not re.fullmatch(r"[0-9]{1,5}", limit) or not 1 <= int(limit) <= MOST_ASKED_FOR:
        return Refusal(RefusalCode.INVALID_PARAMETER, f"limit is a number from 1 to {MOST_ASKED_FOR}.", "limit")
    if order not in ("asc", "desc"):
        return Refusal(RefusalCode.INVALID_PARAMETER, "order is asc or desc, by the time of the upload.", "order")
    if purpose is not None and purpose not in set(Purpose):
        return Refusal(RefusalCode.INVALID_PURPOSE, "This is no purpose of a file.", "purpose")
    if "\0" in given.get("after", ""):
        return Refusal(RefusalCode.INVALID_PARAMETER, "after is the id of a file.", "after")
    return Page(given.get("after"), min(int(limit), MOST_LISTED) + 1, order == "desc", purpose)


def _content_type(question: Question) -> str:
    headers = question.asking.headers
    return next((value.decode("latin-1") for name, value in headers if name == b"content-type"), "")


def _disposition(filename: str) -> bytes:
    """To be saved under its name: in ASCII for older clients, whole for all others (RFC 6266)."""
    plain, whole = _UNPRINTABLE.sub("_", filename), quote(filename, safe="")
    return f"content-disposition: attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}\r\n".encode("ascii")


def _no_room(refusal: FileRefusal, tier: Tier) -> Refusal:
    if refusal is FileRefusal.TOO_LARGE:
        message = f"The file is larger than {tier.max_file_bytes} bytes, the most a file may have in tier {tier.name}."
        return Refusal(RefusalCode.FILE_TOO_LARGE, message, "file")
    most = (
        "as many files as an account may keep" if tier.max_storage_bytes is None else f"{tier.max_storage_bytes} bytes"
    )
    message = f"There is no room for this file: tier {tier.name} keeps {most}. Delete files that are no longer needed."
    return Refusal(RefusalCode.STORAGE_FULL, message, "file")


def _unavailable(error: BlobsUnavailable) -> Refusal:
    log.error("files are out of reach", error=str(error))
    return Refusal(
        RefusalCode.STORAGE_UNAVAILABLE,
        "The store of files cannot be reached. Try again shortly.",
        retry_after_s=1,
        retry_helps=True,
    )


_NO_FILE = Refusal(RefusalCode.NOT_FOUND, "There is no such file in your account.", "file_id")
_NO_FORM = Refusal(
    RefusalCode.UNSUPPORTED_MEDIA_TYPE,
    "A file is uploaded as a form: the content type is multipart/form-data, with a file and its purpose.",
    "content-type",
)
