"""Files with the official clients, unmodified: `openai` for Python, newest and 1.x, and for Node."""

from __future__ import annotations

import pytest
from tests.clients.situations import Situations
from tests.clients.story import Told, tell, tell_in_node

VERSIONS = {"newest": "", "1.x": "openai-1"}


@pytest.fixture(scope="module", params=list(VERSIONS))
def told(situations: Situations, request: pytest.FixtureRequest) -> Told:
    situations.forget_files()
    return tell("filing.py", situations, situations.base_url, older=VERSIONS[request.param])


@pytest.fixture(scope="module")
def told_in_node(situations: Situations) -> Told:
    return tell_in_node("filing.mjs", situations, situations.gateway.base_url)


def test_a_file_is_uploaded_from_a_path_and_read_back(told: Told) -> None:
    batch = told["batch"]
    assert batch["id"].startswith("file-")
    assert (batch["object"], batch["purpose"], batch["status"]) == ("file", "batch", "processed")
    assert batch["filename"] == "wörter.jsonl"
    assert batch["bytes"] == len(told["content"])
    assert told["content"].startswith('{"custom_id"')


def test_a_large_file_is_streamed_back_whole(told: Told) -> None:
    assert told["found"]
    assert told["large_is_whole"]


def test_files_are_listed_page_by_page_the_newest_first(told: Told) -> None:
    assert told["pages"] == [0, 1, 2]
    assert told["oldest"]


def test_a_file_is_deleted(told: Told) -> None:
    assert told["deleted"] == [True, True]
    assert told["left"] == 2


FAILURES = {
    "another_account": ["NotFoundError", 404, "not_found"],
    "another_accounts_content": ["NotFoundError", 404, "not_found"],
    "another_accounts_to_delete": ["NotFoundError", 404, "not_found"],
    "wrong_format": ["APIStatusError", 415, "unsupported_media_type"],
    "wrong_purpose": ["BadRequestError", 400, "invalid_purpose"],
    "too_large": ["APIStatusError", 413, "file_too_large"],
}


@pytest.mark.parametrize("situation", FAILURES)
def test_what_goes_wrong_is_one_of_its_own_exceptions(told: Told, situation: str) -> None:
    assert told["failures"][situation] == FAILURES[situation]


def test_node_uploads_lists_reads_and_deletes(told_in_node: Told) -> None:
    assert told_in_node["batch"]["filename"] == "wörter.jsonl"
    assert told_in_node["stays"] == 3600
    assert told_in_node["content"] == '{"x": 1}\n'
    facts = ["found", "large_is_whole", "newest_first", "deleted"]
    assert [told_in_node[fact] for fact in facts] == [True] * len(facts)


def test_node_throws_its_own_errors(told_in_node: Told) -> None:
    assert told_in_node["failures"] == {
        "gone": ["NotFoundError", 404, "not_found"],
        "another_account": ["NotFoundError", 404, "not_found"],
        "wrong_format": ["APIError", 415, "unsupported_media_type"],
        "too_large": ["APIError", 413, "file_too_large"],
    }
