"""Signatures are those of AWS's own examples ("Authenticating Requests: Using the Authorization Header")."""

from __future__ import annotations

import hashlib

import pytest

from farebox.upstream.s3_signature import Credentials, Request, signed_headers

HOST = "examplebucket.s3.amazonaws.com"
AT = "20130524T000000Z"
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
NOTHING = hashlib.sha256(b"").hexdigest()
CONTENT = hashlib.sha256(b"Welcome to Amazon S3.").hexdigest()
PUT_HEADERS = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}

EXAMPLES = [
    # the request                                                                              its signature
    (Request("GET", HOST, "/test.txt", {}, NOTHING, {"range": "bytes=0-9"}),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    (Request("PUT", HOST, "/test$file.text", {}, CONTENT, PUT_HEADERS),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
    (Request("GET", HOST, "/", {"lifecycle": ""}, NOTHING),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    (Request("GET", HOST, "/", {"prefix": "J", "max-keys": "2"}, NOTHING),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "signature"), EXAMPLES, ids=[str(one[0].address) for one in EXAMPLES])
def test_a_request_is_signed_as_in_the_example(request_: Request, signature: str) -> None:
    headers = signed_headers(request_, CREDENTIALS, AT)
    assert headers["authorization"].rpartition("Signature=")[2] == signature
    assert headers["x-amz-date"] == AT


def test_the_secret_is_never_shown() -> None:
    assert CREDENTIALS.secret_key not in repr(CREDENTIALS)


def test_an_address_is_encoded_once_and_its_query_sorted() -> None:
    request = Request("GET", HOST, "/a b/ü", {"uploadId": "x/+=", "partNumber": "1"}, NOTHING)
    assert request.address == "/a%20b/%C3%BC?partNumber=1&uploadId=x%2F%2B%3D"
