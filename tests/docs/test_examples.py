"""Examples that are no commands can be read by what they are for: price lists, settings, log lines."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import HANDWRITTEN, Block, page

from farebox.config import load_settings
from farebox.observe.logs import RequestLine
from farebox.tariff.price_list import read_price_list
from farebox.tariff.rate_card import RateCard, read_card


def blocks(language: str) -> list[Block]:
    return [block for one in HANDWRITTEN for block in one.blocks if block.language == language]


def test_the_price_list_of_the_page_on_prices_is_understood() -> None:
    whole = next(block for block in page("docs/concepts/pricing.md").blocks if block.text.startswith("name:"))
    reading = read_price_list(yaml.safe_load(whole.text))
    assert reading.findings == ()
    assert [model.id for model in reading.price_list.models] == ["gpt-4o-mini"]


def test_every_price_of_the_page_on_prices_is_understood() -> None:
    cards = [block for block in page("docs/concepts/pricing.md").blocks if block.text.lstrip().startswith("price:")]
    assert len(cards) == 3
    for card in cards:
        assert isinstance(read_card(yaml.safe_load(card.text)["price"]), RateCard)


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.place)
def test_every_settings_file_is_accepted(block: Block, tmp_path: Path) -> None:
    assert tomllib.loads(block.text)
    file = tmp_path / "farebox.toml"
    file.write_text(block.text)
    load_settings(environment={}, file=file)


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.place)
def test_every_log_line_has_the_fields_of_log_lines(block: Block) -> None:
    assert json.loads(block.text).keys() <= {"event", *RequestLine.__struct_fields__}
