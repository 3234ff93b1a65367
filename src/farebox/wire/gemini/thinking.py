"""How much to think, in Gemini's two ways: a level from Gemini 3 on, a budget of tokens before that.

Which of the two a model takes is known by its name alone; one that is not known is given the budget.
"""

from __future__ import annotations

import re

import msgspec

from farebox.wire.chat.request import Reasoning

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_THINKS_SINCE, _LEVELS_SINCE = (2, 5), (3, 0)
_BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192}
_MOST = 24_576
_LEAST_OF_PRO = 128

FOREIGN_CALL = "skip_thought_signature_validator"
"""What Google accepts in place of the signature of a call that its own model did not make."""


class Config(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    thinking_budget: int | None = None
    thinking_level: str | None = None
    include_thoughts: bool | None = None


def read_thinking(config: Config | None) -> Reasoning | None:
    """The wish in the neutral form; None if nothing was said."""
    if config is None:
        return None
    level = config.thinking_level and config.thinking_level.lower().removeprefix("thinking_level_")
    effort = None if level == "unspecified" else level or None
    budget, show = config.thinking_budget, config.include_thoughts
    return None if effort is budget is show is None else Reasoning(effort, budget, show)


def write_thinking(reasoning: Reasoning | None, model: str) -> dict[str, object]:
    """The `thinkingConfig` for a model by its upstream name; empty for none."""
    if reasoning is None or not _thinks(model):
        return {}
    config: dict[str, object] = {}
    if reasoning.budget is not None:
        config["thinkingBudget"] = reasoning.budget
    elif reasoning.effort is not None and has_levels(model):
        config["thinkingLevel"] = _level(reasoning.effort, model)
    elif reasoning.effort is not None:
        config["thinkingBudget"] = _budget(reasoning.effort, model)
    if reasoning.show is not None:
        config["includeThoughts"] = reasoning.show
    return config


def has_levels(model: str) -> bool:
    """From Gemini 3 on: levels of thinking, and calls that must bring their signature back."""
    version = _version(model)
    return version is not None and version >= _LEVELS_SINCE


def _thinks(model: str) -> bool:
    version = _version(model)
    return version is None or version >= _THINKS_SINCE


def _version(model: str) -> tuple[int, int] | None:
    match = _VERSION.search(model)
    return None if match is None else (int(match[1]), int(match[2] or 0))


def _level(effort: str, model: str) -> str:
    """The nearest level there is: Pro knows no minimal one, the first Pro no middle."""
    if effort in ("none", "minimal"):
        return "low" if "pro" in model else "minimal"
    if effort == "medium":
        return "high" if "gemini-3-pro" in model else "medium"
    return "low" if effort == "low" else "high"


def _budget(effort: str, model: str) -> int:
    budget = _BUDGETS.get(effort, _MOST)
    return _LEAST_OF_PRO if not budget and "pro" in model else budget
