"""Sealing: opens for its row with its key file, and for nothing else."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.faults import SetupFault
from farebox.upstream.secrets import CannotOpen, KeyRing, load_or_create, rotate

RING = KeyRing({b"test": b"\x07" * 32})


@given(st.binary(max_size=300), st.text(max_size=40))
def test_what_is_sealed_opens_for_its_row(plain: bytes, row: str) -> None:
    assert RING.open(RING.seal(plain, row=row), row=row) == plain


def test_a_ciphertext_moved_to_another_row_does_not_open() -> None:
    sealed = RING.seal(b"sk-secret", row="upstream_key:uk_1")
    with pytest.raises(CannotOpen, match="uk_2"):
        RING.open(sealed, row="upstream_key:uk_2")


def test_no_changed_cut_or_lengthened_ciphertext_opens() -> None:
    sealed = RING.seal(b"sk-secret", row="r")
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for wrong in (*changed, *(sealed[:at] for at in range(len(sealed))), sealed + b"\0"):
        with pytest.raises(CannotOpen):
            RING.open(wrong, row="r")


def test_sealing_the_same_twice_looks_different() -> None:
    assert RING.seal(b"same", row="r") != RING.seal(b"same", row="r")


def test_another_key_file_does_not_open_and_the_error_says_which_key_is_missing() -> None:
    with pytest.raises(CannotOpen, match=b"test".hex()):
        KeyRing({b"else": b"\x07" * 32}).open(RING.seal(b"x", row="r"), row="r")


def test_no_secret_is_in_any_text_form() -> None:
    assert "07" not in repr(RING)
    assert "\\x07" not in repr(RING)


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "farebox.key"
    sealed = load_or_create(path).seal(b"kept", row="r")
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path).open(sealed, row="r") == b"kept"
    assert os.listdir(tmp_path) == ["farebox.key"]


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        rings = list(threads.map(load_or_create, [tmp_path / "farebox.key"] * 8))
    sealed = rings[0].seal(b"kept", row="r")
    assert all(ring.open(sealed, row="r") == b"kept" for ring in rings)
    assert os.listdir(tmp_path) == ["farebox.key"]


def test_after_a_rotation_old_seals_open_and_ask_to_be_sealed_again(tmp_path: Path) -> None:
    path = tmp_path / "farebox.key"
    old = load_or_create(path).seal(b"kept", row="r")
    ring = rotate(path)
    assert ring.open(old, row="r") == b"kept"
    assert ring.needs_resealing(old)
    again = ring.seal(b"kept", row="r")
    assert not load_or_create(path).needs_resealing(again)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_file_others_can_read_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "farebox.key"
    load_or_create(path)
    path.chmod(0o640)
    with pytest.raises(SetupFault, match=f"chmod 600 {path}"):
        load_or_create(path)


@pytest.mark.parametrize("text", ["", "\n", "nonsense", "c2hvcnQ=", "A" * 43 + "=\nc2hvcnQ=\n", "a b c", "é"])
def test_a_damaged_key_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "farebox.key"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    with pytest.raises(SetupFault, match="damaged"):
        load_or_create(path)
    assert path.read_text("utf-8") == text
