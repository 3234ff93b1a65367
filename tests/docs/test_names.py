"""Whatever the documentation names exists: files, anchors, commands, options, settings, headers, codes, fields."""

from __future__ import annotations

import re
from functools import cache

import pytest
from tests.docs.commands import commands_of, complaint, every_option
from tests.docs.pages import HANDWRITTEN, PAGES, ROOT, Page

from farebox.config import FOREIGN_VARIABLES, settings_table

SETTINGS = {row.variable: row.name for row in settings_table()}
NOT_OURS = {"x_bucket", "x_sum", "x_count", "usage_missing", "usage_negative"}
"""Words made of a name and an ending, or of a prefix and a name."""

each_page = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
each_written_page = pytest.mark.parametrize("page", HANDWRITTEN, ids=[page.name for page in HANDWRITTEN])


@each_page
def test_every_link_leads_to_a_file_and_an_anchor(page: Page) -> None:
    broken: list[str] = []
    for link in page.links:
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (page.path.parent / target).resolve() if target else page.path
        if not path.exists() or (anchor and anchor not in Page(path).anchors):
            broken.append(link)
    assert broken == []


@each_page
def test_every_command_exists_with_its_options(page: Page) -> None:
    assert [trouble for written in commands_of(page) if (trouble := complaint(written))] == []


@each_page
def test_every_option_named_alone_belongs_to_a_command(page: Page) -> None:
    named = {code.split()[0].partition("=")[0] for code in page.codes if code.startswith("--")}
    assert named - every_option() - {"--help", "--version"} == set()


@each_page
def test_every_variable_is_a_setting(page: Page) -> None:
    named = set(re.findall(r"\bFAREBOX_[A-Z_]+\b", page.text))
    assert named - SETTINGS.keys() - FOREIGN_VARIABLES == set()


@each_written_page
def test_every_header_is_read_or_sent_somewhere(page: Page) -> None:
    named = {code for code in page.codes if re.fullmatch(r"(X-[A-Za-z-]+|Idempot[A-Za-z-]+|Retry-After)(: .+)?", code)}
    unknown = {code for code in named if code.partition(":")[0].lower() not in source()}
    assert unknown - {code for code in named if code.startswith("X-Forwarded")} == set()


@each_written_page
def test_every_word_in_code_type_is_a_word_of_the_code(page: Page) -> None:
    """Settings, refusal codes, stamps, meters, metrics, fields: anything written like `this_thing`."""
    named = {code for code in page.codes if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", code)}
    unknown = {name for name in named if not re.search(rf"\b{_stem(name)}\b", source())}
    assert unknown - NOT_OURS == set()


@each_written_page
def test_every_module_named_is_there(page: Page) -> None:
    named = {code for code in page.codes if re.fullmatch(r"\w[\w/]+/\w+\.(py|sql|yaml|md|toml)", code)}
    assert {name for name in named if not ((ROOT / name).exists() or (ROOT / "src/farebox" / name).exists())} == set()


@each_written_page
def test_no_page_speaks_of_the_place_it_was_written_at(page: Page) -> None:
    assert not re.search(r"/(?:home|root|tmp)/|localhost:\d", page.text)


@cache
def source() -> str:
    files = [path for kind in ("py", "yaml", "sql") for path in (ROOT / "src" / "farebox").rglob(f"*.{kind}")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def _stem(name: str) -> str:
    """Metrics are put together from a prefix, a name and an ending."""
    if not name.startswith("farebox_"):
        return name
    short = re.sub(r"_(total|bucket|sum|count)$", "", name)
    return f"(?:{short}|{short.removeprefix('farebox_')})"
