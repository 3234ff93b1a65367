"""Files over HTTP: OpenAI's shapes, the tier's limits, whole or not at all, and nobody else's."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support import small_s3
from tests.support.forms import CONTENT_TYPE, END, field, file_head, form
from tests.support.gateway import Answer, Customer, Gateway, running_gateway
from tests.support.raw_http import request, wire_to
from tests.support.shop import until
from tests.support.small_s3 import SmallS3

from farebox.store.blobs import BLOCK_BYTES

FILES = "/v1/files"
FORM = {"content-type": CONTENT_TYPE}
PDF = b"%PDF-"


def upload(
    gateway: Gateway, who: Customer | str | None, content: bytes, filename: str = "a.txt", **fields: str
) -> Answer:
    return gateway.post(FILES, who, form(content, filename, **fields), FORM)


def uploaded(gateway: Gateway, who: Customer, content: bytes, filename: str = "a.txt", **fields: str) -> dict[str, Any]:
    answer = upload(gateway, who, content, filename, **fields)
    assert answer.status == 200, answer.body
    return answer.json


def on_disk(gateway: Gateway, who: Customer) -> list[Path]:
    return sorted((gateway.books.settings.files_path / who.account_id).glob("*"))


def rows(gateway: Gateway, who: Customer) -> list[str]:
    found = gateway.call(
        gateway.books.pool.fetch("SELECT state FROM files WHERE account_id = $1 ORDER BY id", who.account_id)
    )
    return [row["state"] for row in found]


# Shapes -------------------------------------------------------------------------------------------


def test_a_file_has_openais_shape_everywhere(gateway: Gateway) -> None:
    who = gateway.customer()
    fields = {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = uploaded(gateway, who, b'{"x": 1}\n', "a.jsonl", **fields)
    assert file == {
        "id": file["id"], "object": "file", "bytes": 9, "created_at": file["created_at"],
        "expires_at": file["created_at"] + 3600, "filename": "a.jsonl", "purpose": "batch",
        "status": "processed", "status_details": None,
    }  # fmt: skip
    assert gateway.get(f"{FILES}/{file['id']}", who).json == file
    listed = gateway.get(FILES, who).json
    assert listed == {
        "object": "list",
        "data": [file],
        "first_id": file["id"],
        "last_id": file["id"],
        "has_more": False,
    }
    assert gateway.delete(f"{FILES}/{file['id']}", who).json == {"id": file["id"], "object": "file", "deleted": True}
    assert gateway.get(FILES, who).json["data"] == []


def test_nothing_is_held_counted_or_charged_for_a_file(gateway: Gateway) -> None:
    who = gateway.customer(credits="0", tier="free")
    for _ in range(12):
        uploaded(gateway, who, b"x")
    answer = gateway.get("/v1/key", who)
    assert answer.headers["x-ratelimit-used"] == "0"
    assert answer.json["spent"] == "0"


@pytest.mark.parametrize("size", [1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7, 5_000_000])
def test_the_content_comes_back_to_be_saved(gateway: Gateway, size: int) -> None:
    who = gateway.customer()
    content = PDF + os.urandom(size)
    file = uploaded(gateway, who, content, "Übung %221%22.pdf")
    answer = gateway.get(f"{FILES}/{file['id']}/content", who)
    assert answer.body == content
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    plain, whole = answer.headers["content-disposition"].removeprefix("attachment; ").split("; ")
    assert (plain, whole) == ('filename="_bung _1_.pdf"', "filename*=UTF-8''%C3%9Cbung%20%221%22.pdf")
    assert answer.headers["x-ratelimit-resource"] == "account"


def test_the_head_of_content_tells_its_size_and_the_connection_goes_on(gateway: Gateway) -> None:
    who = gateway.customer()
    file = uploaded(gateway, who, b"x" * 700_000)
    with wire_to(gateway.port) as wire:
        address = f"{FILES}/{file['id']}/content"
        wire.send(request("HEAD", address, who.secret) + request("GET", address, who.secret))
        assert wire.answer(bodiless=True).header("content-length") == "700000"
        assert wire.answer().body == b"x" * 700_000
        wire.send(request("GET", FILES, who.secret))
        assert wire.answer().status == 200


def test_pages_follow_one_another_in_both_orders(gateway: Gateway) -> None:
    who = gateway.customer()
    ids = [uploaded(gateway, who, b"x", "a.jsonl", purpose=["batch", "evals"][n % 2])["id"] for n in range(5)]

    def pages(query: str) -> list[list[int]]:
        found: list[list[int]] = []
        after = ""
        while True:
            page = gateway.get(f"{FILES}?{query}{after}", who).json
            found.append([ids.index(file["id"]) for file in page["data"]])
            if not page["has_more"]:
                return found
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            after = f"&after={page['last_id']}"

    assert pages("limit=2") == [[4, 3], [2, 1], [0]]
    assert pages("limit=2&order=asc") == [[0, 1], [2, 3], [4]]
    assert pages("limit=5") == [[4, 3, 2, 1, 0]]
    assert pages("limit=1&purpose=evals") == [[3], [1]]
    assert pages("limit=10000&order=desc") == [[4, 3, 2, 1, 0]]


# Refusals -----------------------------------------------------------------------------------------

WHOLE = form(b"x")
REFUSED = [
    # what is sent                         status code                       param
    (form(b"x", "a.exe"),                     415, "unsupported_media_type", "file"),
    (form(b"x", "a.png"),                     415, "unsupported_media_type", "file"),
    (form(b"x", purpose="mischief"),          400, "invalid_purpose",        "purpose"),
    (form(b""),                               400, "invalid_parameter",      "file"),
    (form(b"x", ""),                          400, "invalid_parameter",      "file"),
    (file_head("a.txt") + b"x\r\n" + END,     400, "missing_parameter",      "purpose"),
    (field("purpose", "batch") + END,         400, "missing_parameter",      "file"),
    (WHOLE[:-10],                             400, "invalid_parameter",      "body"),
    (WHOLE + b"more",                         400, "invalid_parameter",      "body"),
    (b"",                                     400, "invalid_parameter",      "body"),
    (b"{}",                                   400, "invalid_parameter",      "body"),
    (b"\0" * 1_000_000,                       400, "invalid_parameter",      "body"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code", "param"), REFUSED)
def test_what_is_wrong_with_a_form_is_said_and_leaves_nothing(
    gateway: Gateway, body: bytes, status: int, code: str, param: str
) -> None:
    who = gateway.customer()
    answer = gateway.post(FILES, who, body, FORM)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, param)
    assert answer.error["message"].endswith(".")
    assert answer.headers["x-should-retry"] == "false"
    assert (rows(gateway, who), on_disk(gateway, who)) == ([], [])


@pytest.mark.parametrize(
    ("content_type", "status", "code"),
    [
        ("application/json", 415, "unsupported_media_type"),
        ("multipart/mixed; boundary=x", 415, "unsupported_media_type"),
        ("multipart/form-data", 400, "invalid_parameter"),
    ],
)
def test_only_forms_are_taken(gateway: Gateway, content_type: str, status: int, code: str) -> None:
    answer = gateway.post(FILES, gateway.customer(), WHOLE, {"content-type": content_type})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (status, code, "content-type")


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", "invalid_parameter", "limit"),
        ("limit=10001", "invalid_parameter", "limit"),
        ("limit=x", "invalid_parameter", "limit"),
        ("order=up", "invalid_parameter", "order"),
        ("purpose=mischief", "invalid_purpose", "purpose"),
        ("after=%00", "invalid_parameter", "after"),
    ],
)
def test_a_list_that_cannot_be_is_refused(gateway: Gateway, query: str, code: str, param: str) -> None:
    answer = gateway.get(f"{FILES}?{query}", gateway.customer())
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, code, param)


def test_d55_a_file_of_another_account_is_not_found(gateway: Gateway) -> None:
    owner, other = gateway.customer(), gateway.customer()
    file = uploaded(gateway, owner, b"mine")
    for address in (f"{FILES}/{file['id']}", f"{FILES}/{file['id']}/content"):
        assert gateway.get(address, other).status == 404
        assert gateway.get(address, gateway.key(owner.account_id)).status == 200, "every key of the account"
    assert gateway.delete(f"{FILES}/{file['id']}", other).status == 404
    assert gateway.get(f"{FILES}?after={file['id']}", other).json["data"] == []
    assert gateway.get(f"{FILES}/{file['id']}/content", owner).body == b"mine"


@pytest.mark.parametrize("path", ["/file-x", "/file-x/content", "/../files", "/a/b/c", "/%00", "/file-" + "0" * 26])
def test_what_is_no_file_is_not_found(gateway: Gateway, path: str) -> None:
    answer = gateway.get(FILES + path, gateway.customer())
    assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_without_a_key_nothing_is_taken(gateway: Gateway) -> None:
    for who in (None, "sk-unknown"):
        assert upload(gateway, who, b"x").status == 401
        assert gateway.get(FILES, who).status == 401


# Limits -------------------------------------------------------------------------------------------


@pytest.fixture
def small_tier(gateway: Gateway) -> Iterator[str]:
    """Free, for a while: 100 KB a file, 250 KB in all."""
    tier = gateway.books.catalogue.current.tiers["free"]
    small = msgspec.structs.replace(tier, max_file_bytes=100_000, max_storage_bytes=250_000)
    change_tier(gateway, small)
    yield "free"
    change_tier(gateway, tier)


def change_tier(gateway: Gateway, tier: Any) -> None:
    sql = "UPDATE tiers SET max_file_bytes = $2, max_storage_bytes = $3 WHERE name = $1"
    raised = "UPDATE catalogue_state SET version = version + 1"
    pool, limits = gateway.books.pool, (tier.name, tier.max_file_bytes, tier.max_storage_bytes)
    gateway.call(pool.execute(sql, *limits))
    gateway.call(pool.execute(raised))
    gateway.call(gateway.books.catalogue.verify())


def test_limits_of_the_tier_hold_to_the_byte(gateway: Gateway, small_tier: str) -> None:
    who = gateway.customer(tier=small_tier)
    answer = upload(gateway, who, b"x" * 100_001)
    assert (answer.status, answer.error["code"]) == (413, "file_too_large")
    assert "100000 bytes" in answer.error["message"]
    first = uploaded(gateway, who, b"x" * 100_000)
    uploaded(gateway, who, b"x" * 100_000)
    answer = upload(gateway, who, b"x" * 50_001)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (403, "permission_error", "storage_full")
    uploaded(gateway, who, b"x" * 50_000)
    assert upload(gateway, who, b"x").status == 403
    gateway.delete(f"{FILES}/{first['id']}", who)
    uploaded(gateway, who, b"x" * 100_000)
    assert rows(gateway, who) == ["kept"] * 3


def test_storage_is_exact_with_twenty_uploads_at_once(
    gateway: Gateway, other_gateway: Gateway, small_tier: str
) -> None:
    who = gateway.customer(tier=small_tier)
    other_gateway.call(other_gateway.books.catalogue.verify())
    answers: list[Answer] = []

    def one(number: int) -> None:
        answers.append(upload((gateway, other_gateway)[number % 2], who, b"x" * 24_000))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200] * 10 + [403] * 10
    assert gateway.call(gateway.books.files.used(who.account_id)) == (10, 240_000)


@pytest.mark.parametrize("expect", [(), ("expect: 100-continue",)])
def test_what_its_length_shows_to_be_too_large_is_refused_before_it_arrives(
    gateway: Gateway, small_tier: str, expect: tuple[str, ...]
) -> None:
    who = gateway.customer(tier=small_tier)
    headers = (f"content-type: {CONTENT_TYPE}", "content-length: 2000000000", *expect)
    with wire_to(gateway.port, patience_s=5) as wire:
        wire.send(request("POST", FILES, who.secret, None, headers))
        answer = wire.answer()
    assert (answer.status, answer.error["code"]) == (413, "file_too_large")


def chunked(gateway: Gateway, who: Customer, pieces: Iterator[bytes]) -> Answer:
    """A form of a length that nobody tells."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    headers = {"authorization": f"Bearer {who.secret}", "content-type": CONTENT_TYPE}
    connection.request("POST", FILES, pieces, headers, encode_chunked=True)
    response = connection.getresponse()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def test_a_form_without_a_length_is_taken_and_stopped_at_the_limit(gateway: Gateway, small_tier: str) -> None:
    who = gateway.customer(tier=small_tier)

    def pieces(size: int) -> Iterator[bytes]:
        yield field("purpose", "user_data") + file_head("a.txt")
        for _ in range(size // 10_000):
            yield b"x" * 10_000
        yield b"\r\n" + END

    assert chunked(gateway, who, pieces(100_000)).json["bytes"] == 100_000
    assert chunked(gateway, who, pieces(400_000)).error["code"] == "file_too_large"
    assert rows(gateway, who) == ["kept"]


# Arriving -----------------------------------------------------------------------------------------


def test_a_form_may_arrive_byte_by_byte(gateway: Gateway) -> None:
    who = gateway.customer()
    body = form(b"\r\n--farebox-test-boundar\r\n" * 3)
    with wire_to(gateway.port) as wire:
        wire.send(
            request("POST", FILES, who.secret, None, (f"content-type: {CONTENT_TYPE}", f"content-length: {len(body)}"))
        )
        for byte in body:
            wire.send(bytes([byte]))
        assert wire.answer().json["bytes"] == 26 * 3


def test_a_client_that_asks_first_is_told_to_go_on(gateway: Gateway) -> None:
    who = gateway.customer()
    body = form(b"x" * 10)
    headers = (f"content-type: {CONTENT_TYPE}", f"content-length: {len(body)}", "expect: 100-continue")
    with wire_to(gateway.port) as wire:
        wire.send(request("POST", FILES, who.secret, None, headers))
        assert wire.answer().status == 100
        wire.send(body)
        assert wire.answer().status == 200


def test_a_connection_serves_on_after_an_upload_refused_in_its_middle(gateway: Gateway) -> None:
    who = gateway.customer()
    body = field("purpose", "batch") + file_head("a.txt") + b"x" * 3_000_000 + b"\r\n" + END
    with wire_to(gateway.port) as wire:
        for _ in range(2):
            wire.send(request("POST", FILES, who.secret, body, (f"content-type: {CONTENT_TYPE}",)))
            assert wire.answer().status == 415
        wire.send(request("POST", FILES, who.secret, form(b"x"), (f"content-type: {CONTENT_TYPE}",)))
        assert wire.answer().status == 200
    assert rows(gateway, who) == ["kept"]


def test_an_upload_that_is_left_leaves_nothing(gateway: Gateway) -> None:
    who = gateway.customer()
    body = form(b"x" * 3_000_000)
    with wire_to(gateway.port) as wire:
        head = request(
            "POST", FILES, who.secret, None, (f"content-type: {CONTENT_TYPE}", f"content-length: {len(body)}")
        )
        wire.send(head + body[:2_000_000])
        until(lambda: sum(path.stat().st_size for path in on_disk(gateway, who)) > 1_000_000)
        assert gateway.get(FILES, who).json["data"] == [], "half a file is no file"
        assert rows(gateway, who) == ["arriving"]
    until(lambda: (rows(gateway, who), on_disk(gateway, who)) == ([], []))
    assert gateway.call(gateway.books.files.used(who.account_id)) == (0, 0)


def test_a_download_that_is_left_harms_nothing(gateway: Gateway) -> None:
    who = gateway.customer()
    file = uploaded(gateway, who, os.urandom(8_000_000), "a.bin.txt")
    for _ in range(3):
        with wire_to(gateway.port) as wire:
            wire.send(request("GET", f"{FILES}/{file['id']}/content", who.secret))
            wire.socket.recv(1000)
    assert len(gateway.get(f"{FILES}/{file['id']}/content", who).body) == 8_000_000


def test_damage_ends_the_answer_before_its_end(gateway: Gateway) -> None:
    who = gateway.customer()
    content = os.urandom(3_000_000)
    file = uploaded(gateway, who, content)
    (path,) = on_disk(gateway, who)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(http.client.IncompleteRead) as cut:
        gateway.get(f"{FILES}/{file['id']}/content", who)
    assert content.startswith(cut.value.partial), "nothing but the file's own bytes"
    path.write_bytes(content[: BLOCK_BYTES // 2])
    assert gateway.get(f"{FILES}/{file['id']}/content", who).status == 500, "known before the answer began"
    path.unlink()
    assert gateway.get(f"{FILES}/{file['id']}/content", who).status == 500
    assert gateway.get(FILES, who).status == 200


# A bucket -----------------------------------------------------------------------------------------


@pytest.fixture
def s3() -> Iterator[SmallS3]:
    with small_s3.small_s3() as s3:
        yield s3


@pytest.fixture
def bucket_gateway(database: str, s3: SmallS3) -> Iterator[Gateway]:
    settings = {
        "files_s3_endpoint": s3.endpoint, "files_s3_bucket": small_s3.BUCKET, "files_s3_region": small_s3.REGION,
        "files_s3_access_key": small_s3.ACCESS_KEY, "files_s3_secret_key": small_s3.SECRET_KEY,
    }  # fmt: skip
    with running_gateway(database, **settings) as gateway:
        yield gateway


def test_files_live_in_a_bucket_where_one_is_set(bucket_gateway: Gateway, s3: SmallS3) -> None:
    gateway, who = bucket_gateway, bucket_gateway.customer()
    content = PDF + os.urandom(20_000_000)
    file = uploaded(gateway, who, content, "a.pdf")
    assert s3.blobs == {f"{who.account_id}/{file['id']}": content}
    assert (
        hashlib.sha256(gateway.get(f"{FILES}/{file['id']}/content", who).body).digest()
        == hashlib.sha256(content).digest()
    )
    assert not gateway.books.settings.files_path.exists()
    gateway.delete(f"{FILES}/{file['id']}", who)
    assert s3.blobs == s3.uploads == {}
    assert s3.refused_signatures == 0


def test_a_bucket_out_of_reach_is_said_and_takes_no_room(bucket_gateway: Gateway, s3: SmallS3) -> None:
    gateway, who = bucket_gateway, bucket_gateway.customer()
    file = uploaded(gateway, who, b"x")
    s3.stop()
    answers = [upload(gateway, who, b"x"), gateway.get(f"{FILES}/{file['id']}/content", who)]
    for answer in answers:
        assert (answer.status, answer.error["code"]) == (503, "storage_unavailable")
        assert "retry-after" in answer.headers
        assert "x-should-retry" not in answer.headers
    assert gateway.delete(f"{FILES}/{file['id']}", who).status == 200, "gone for everybody; its bytes follow"
    assert gateway.call(gateway.books.files.used(who.account_id)) == (0, 0)
    assert gateway.get("/v1/models", who).status == 200
