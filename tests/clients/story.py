"""Runs a client library as its users do, in a process of its own, and hears what it experienced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.clients.situations import Situations

HERE = Path(__file__).parent
VENV = HERE.parent.parent / ".venv"
OLDER = VENV / "older"
"""Where `make test` puts earlier versions; only their own dependencies stand beside each."""

Told = dict[str, Any]


def tell(program: str, situations: Situations, base_url: str, *, older: str = "") -> Told:
    """What a client experienced; `older` names an earlier version."""
    path = OLDER / older
    if older and not path.exists():
        pytest.skip(f"{older} is not installed: `make test` does that")
    return _run([sys.executable, str(HERE / program)], situations, base_url, {"PYTHONPATH": str(path) if older else ""})


def tell_in_node(program: str, situations: Situations, base_url: str) -> Told:
    """The same under Node."""
    if not (HERE / "node" / "node_modules").exists():
        pytest.skip("the Node clients are not installed: `make test` does that")
    return _run([str(Path(sys.executable).parent / "node"), str(HERE / "node" / program)], situations, base_url, {})


def _run(command: list[str], situations: Situations, base_url: str, environment: dict[str, str]) -> Told:
    secrets = {name: value for name, value in vars(situations).items() if isinstance(value, str)}
    secrets["limited"] = situations.fresh_limited()
    done = subprocess.run(
        [*command, base_url, json.dumps(secrets)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told: Told = json.loads(done.stdout)
    return told
