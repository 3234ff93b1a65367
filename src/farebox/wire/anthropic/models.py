"""What the names of Claude models say about what they take. Other servers of this dialect are not asked.

Sources: Anthropic's model overview and its pages on extended and adaptive thinking, effort, and
sampling parameters. A name that says nothing is treated as the oldest.
"""

from __future__ import annotations

import re

Version = tuple[int, int]

DEFAULT_LIMIT = 4_096
"""The output limit where nobody named one, in tokens: the most every model of this dialect can produce."""
_DEFAULT_LIMITS: tuple[tuple[Version, int], ...] = (((3, 7), 32_000), ((3, 5), 8_192))
"""From a version on: what all its models can produce."""
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OLDEST: Version = (0, 0)


def version_in(name: str) -> Version:
    """The version a model's name states; (0, 0) if it is none of Claude's. `claude-opus-4-20250514` is (4, 0)."""
    match = _VERSION.search(name)
    return _OLDEST if match is None else (int(match.group(1)), int(match.group(2) or 0))


def default_limit(version: Version) -> int:
    """The output limit to write where the caller named none, in tokens."""
    return next((limit for known, limit in _DEFAULT_LIMITS if version >= known), DEFAULT_LIMIT)


def thinks_by_itself(version: Version) -> bool:
    """Whether it decides how much to think, by an effort; others are given a budget."""
    return version >= (4, 6)


def takes_sampling(version: Version) -> bool:
    """Whether it takes `temperature`, `top_p` and `top_k`."""
    return version < (4, 7)


def takes_both_samplings(version: Version) -> bool:
    """Whether `temperature` and `top_p` may stand beside one another."""
    return version < (4, 1)


def takes_effort(version: Version, effort: str) -> str:
    """The effort under a name the model knows."""
    known = {"minimal": "low", "xhigh": "xhigh" if version >= (4, 7) else "high"}
    return known.get(effort, effort)
