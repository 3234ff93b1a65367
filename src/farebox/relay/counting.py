"""Counting tokens ourselves: for closer input bounds, and where a provider's usage is missing.

Uses `rs-bpe`'s vocabularies; long texts are counted in a thread, so that the loop goes on. A
vendor's own tokenizer may count more than ours, so a bound carries a margin by family.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from functools import cache
from typing import Any

from rs_bpe.bpe import openai  # type: ignore[import-untyped]

from farebox.wire.call import Call
from farebox.wire.dialect import Dialect

IN_THREAD_BYTES = 64 * 1024
MARGINS = {"o200k": Fraction(1), "cl100k": Fraction(1)}
"""What our count is multiplied by to bound another family's. Exact where we have the vocabulary."""
OTHER_MARGIN = Fraction(3, 2)
TEMPLATE_TOKENS = 256
"""What a provider's chat template and tool preamble may add, beside what stands at each message."""


@cache
def _vocabulary(family: str | None) -> Any:
    return openai.cl100k_base() if family == "cl100k" else openai.o200k_base()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


async def count_text(text: str, family: str | None) -> int:
    """Tokens of a text in the family's vocabulary, or the nearest we have."""
    if not text:
        return 0
    if len(text) > IN_THREAD_BYTES:
        return await asyncio.to_thread(_count, text, family)
    return _count(text, family)


async def count_input(dialect: Dialect, call: Call, family: str | None) -> int:
    """The input tokens of a call as we count them: its text, its template, its media bounds."""
    return await count_text(dialect.text_of(call), family) + dialect.tokens_beside_text(call) + call.media_tokens


async def bound_input(dialect: Dialect, call: Call, family: str | None) -> int | None:
    """A closer upper bound than bytes; None where the input has parts that cannot be counted."""
    if call.input_open:
        return None
    counted = await count_input(dialect, call, family)
    margin = MARGINS.get(family or "", OTHER_MARGIN)
    return -(-counted * margin.numerator // margin.denominator) + TEMPLATE_TOKENS + call.input_extra


def _count(text: str, family: str | None) -> int:
    # A lone surrogate cannot be encoded; it is one replacement character to a provider too.
    clean = text.encode(errors="replace").decode()
    return int(_vocabulary(family).count(clean))
