"""Take what looks like a secret out of text that is about to be written or shown.

A second line of defence: nothing secret should get there at all. Keeps enough of a key to recognise its kind.
"""

from __future__ import annotations

import re

_SECRETS = re.compile(
    r"""
      (?<![A-Za-z0-9])(?P<key>sk-(?:[a-z]{2,8}-)*)[A-Za-z0-9_-]{6,}
    | (?<![A-Za-z0-9])(?P<other>(?:pk|rk|sk|xai|gsk|whsec|ghp|hf)[-_]|AIza|AKIA)(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{12,}
    | (?P<named>\b(?:authorization|x-api-key|x-goog-api-key|api[-_]?key|password|secret)["']?\s*[:=]\s*["']?
        (?:Bearer\s+)?)[^\s"',}]+
    | (?P<bearer>\bBearer\s+)[^\s"',}]+
    | (?P<login>://[^\s:/@"']*:)[^\s@"']+(?=@)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with everything that looks like a key or password replaced by `…`."""
    return _SECRETS.sub(lambda match: f"{match.group(match.lastgroup or 0)}…", text)
