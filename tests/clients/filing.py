"""The official client keeps its files with the gateway, told as JSON.

Run as a program (`python filing.py BASE_URL SECRETS`) under whatever `openai` is on the path. It is the client as
customers have it: nothing is patched, nothing but `base_url` is set.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import openai

LINE = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n'
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
LARGE = b"%PDF-" + os.urandom(20_000_000)


def story(client: openai.OpenAI) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wörter.jsonl"
        path.write_bytes(LINE)
        batch = client.files.create(file=path, purpose="batch")
    picture = client.files.create(file=("pixel.png", io.BytesIO(PIXEL), "image/png"), purpose="vision")
    large = client.files.create(file=("large.pdf", LARGE), purpose="user_data")
    found = client.files.retrieve(large.id)
    pages = [file.id for file in client.files.list(limit=1)]
    with client.files.with_streaming_response.content(large.id) as response:
        digest = hashlib.sha256()
        for piece in response.iter_bytes(65536):
            digest.update(piece)
    deleted = client.files.delete(picture.id)
    return {
        "version": openai.__version__,
        "batch": batch.model_dump(),
        "content": client.files.content(batch.id).text,
        "found": found.id == large.id and found.bytes == len(LARGE),
        "large_is_whole": digest.digest() == hashlib.sha256(LARGE).digest(),
        "pages": [[large.id, picture.id, batch.id].index(file_id) for file_id in pages],
        "oldest": client.files.list(order="asc", purpose="batch").data[0].id == batch.id,
        "deleted": [deleted.deleted, deleted.id == picture.id],
        "left": len(list(client.files.list())),
    }


def failures(client: openai.OpenAI, other: openai.OpenAI, small: openai.OpenAI) -> dict[str, Any]:
    file = client.files.create(file=("a.txt", b"mine"), purpose="user_data")
    wrong: Any = "mischief"
    asked = {
        "another_account": lambda: other.files.retrieve(file.id),
        "another_accounts_content": lambda: other.files.content(file.id),
        "another_accounts_to_delete": lambda: other.files.delete(file.id),
        "wrong_format": lambda: client.files.create(file=("a.exe", b"x"), purpose="assistants"),
        "wrong_purpose": lambda: client.files.create(file=("a.txt", b"x"), purpose=wrong),
        "too_large": lambda: small.files.create(file=("a.pdf", LARGE), purpose="user_data"),
    }
    return {name: failure(act) for name, act in asked.items()}


def failure(act: Any) -> list[Any]:
    try:
        act()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]
    return []


def main(base_url: str, secrets: dict[str, str]) -> None:
    good, other, small = (
        openai.OpenAI(base_url=base_url, api_key=secrets[name], timeout=60, max_retries=0)
        for name in ("good", "poor", "low_tier")
    )
    print(json.dumps({**story(good), "failures": failures(good, other, small)}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
