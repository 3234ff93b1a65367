"""The example deployments name real settings, and nginx accepts its example."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from farebox.config import FOREIGN_VARIABLES, load_settings, settings_table

ROOT = Path(__file__).parent.parent
SETTINGS = {row.variable: row.name for row in settings_table()}


def test_the_example_settings_file_is_accepted() -> None:
    settings = load_settings(environment={}, file=ROOT / "deploy" / "farebox.toml")
    assert settings.trusted_proxies


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "deploy/farebox.service"])
def test_every_variable_of_an_example_is_a_setting(name: str) -> None:
    named = set(re.findall(r"\bFAREBOX_[A-Z_]+\b", (ROOT / name).read_text()))
    assert named
    assert named - SETTINGS.keys() - FOREIGN_VARIABLES == set()


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_settings_spoken_of_in_a_proxy_example_exist_and_fit(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text()
    spoken_of = set(re.findall(r"\b(?:\w+_s|trusted_proxies)\b", text)) - {"proxy_s"}
    assert spoken_of <= set(SETTINGS.values())
    settings = load_settings(environment={})
    assert settings.total_timeout_s < 1860
    assert settings.body_limit_bytes <= 33 * 1024 * 1024


def test_the_container_stops_later_than_streams_drain() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert (
        int(compose["services"]["farebox"]["stop_grace_period"].removesuffix("s"))
        > load_settings(environment={}).drain_timeout_s
    )


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_accepts_its_example(tmp_path: Path) -> None:
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=example.com"]
    files = ["-keyout", f"{tmp_path}/privkey.pem", "-out", f"{tmp_path}/fullchain.pem"]
    subprocess.run([*certificate, *files], check=True, capture_output=True)
    example = (ROOT / "deploy" / "nginx.conf").read_text()
    (tmp_path / "site.conf").write_text(example.replace("/etc/letsencrypt/live/ai.example.com", str(tmp_path)))
    (tmp_path / "nginx.conf").write_text(
        f"events {{}}\npid {tmp_path}/pid;\nhttp {{ access_log off; include {tmp_path}/site.conf; }}\n"
    )
    command = ["nginx", "-t", "-e", f"{tmp_path}/errors", "-c", f"{tmp_path}/nginx.conf"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
