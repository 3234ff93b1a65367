"""Sealing of what must be stored but not readable: provider keys and kept answers.

Enters: plain bytes and the row they belong to. Leaves: sealed bytes that open only with the operator's
key file and only for that row, so a ciphertext copied to another row is worthless. Never: logs, prints
or puts into an error what it seals or the keys it seals with.

    sealed   = version (1 byte, 1) · key id (4) · nonce (24) · AES-256-GCM ciphertext and tag
    key file = a key per line, in base64; the last line seals, all lines open; a key's id is drawn from it

The first half of the nonce derives a key for this one message from the key of the file, the second
half is GCM's own: random nonces may then be drawn without counting messages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farebox.faults import SetupFault

VERSION = b"\x01"
KEY_ID_BYTES = 4
KEY_BYTES = 32
HALF_NONCE_BYTES = 12
_HEADER_BYTES = len(VERSION) + KEY_ID_BYTES
_BODY_AT = _HEADER_BYTES + 2 * HALF_NONCE_BYTES
_TAG_BYTES = 16


class CannotOpen(SetupFault):
    """Sealed bytes do not open: another key file, another row, or changed bytes."""


class KeyRing:
    """The keys of the key file. The newest seals, every one opens."""

    def __init__(self, keys: dict[bytes, bytes]) -> None:
        self._keys = keys
        self._newest = list(keys)[-1]

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys, newest {self._newest.hex()})"

    def seal(self, plain: bytes, *, row: str) -> bytes:
        """Seal `plain` for one row; `row` names table and id, such as `upstream_key:uk_01k9…`."""
        header = VERSION + self._newest
        nonce = secrets.token_bytes(2 * HALF_NONCE_BYTES)
        return (
            header
            + nonce
            + self._cipher(header, nonce).encrypt(nonce[HALF_NONCE_BYTES:], plain, _bound_to(header, row))
        )

    def open(self, sealed: bytes, *, row: str) -> bytes:
        """What was sealed for this row. Raises `CannotOpen` for anything else."""
        header, nonce = sealed[:_HEADER_BYTES], sealed[_HEADER_BYTES:_BODY_AT]
        if len(sealed) < _BODY_AT + _TAG_BYTES or not sealed.startswith(VERSION):
            raise CannotOpen(f"What is stored for {row} was not sealed by Farebox, or by a newer version of it.")
        if header[len(VERSION) :] not in self._keys:
            raise CannotOpen(
                f"What is stored for {row} was sealed with key {header[1:].hex()}, which the key file does not hold. "
                "Put the key file back that this database was used with."
            )
        try:
            return self._cipher(header, nonce).decrypt(
                nonce[HALF_NONCE_BYTES:], sealed[_BODY_AT:], _bound_to(header, row)
            )
        except InvalidTag:
            raise CannotOpen(f"What is stored for {row} was changed, or sealed for another row.") from None

    def needs_resealing(self, sealed: bytes) -> bool:
        """True if it was not sealed with the newest key: open it and seal it again."""
        return sealed[:_HEADER_BYTES] != VERSION + self._newest

    def _cipher(self, header: bytes, nonce: bytes) -> AESGCM:
        key = self._keys[header[len(VERSION) :]]
        return AESGCM(hmac.digest(key, b"farebox seal" + header + nonce[:HALF_NONCE_BYTES], "sha256"))


def load_or_create(path: Path) -> KeyRing:
    """The key ring of the file at `path`, made with one fresh key if there is none.

    Several processes may start at once: one makes the file, all read it. Raises `SetupFault` if others than
    the owner may read the file, or if it is damaged.
    """
    if not path.exists():
        _write_new(path, _line(secrets.token_bytes(KEY_BYTES)))
    return KeyRing(_read(path))


def rotate(path: Path) -> KeyRing:
    """Add a fresh key that seals from now on; what older keys sealed still opens.

    Other processes seal with the older key until they read the file again, and cannot open what the new key
    sealed before that. Once nothing `needs_resealing`, older lines may be deleted by hand.
    """
    keys = _read(path)
    fresh = secrets.token_bytes(KEY_BYTES)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    _write_private(beside, "".join(_line(key) for key in (*keys.values(), fresh)))
    beside.replace(path)
    _sync_folder(path.parent)
    return KeyRing({**keys, _id_of(fresh): fresh})


def _bound_to(header: bytes, row: str) -> bytes:
    return header + row.encode()


def _id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"farebox key id" + key).digest()[:KEY_ID_BYTES]


def _line(key: bytes) -> str:
    return base64.b64encode(key).decode() + "\n"


def _read(path: Path) -> dict[bytes, bytes]:
    if path.stat().st_mode & 0o077:
        raise SetupFault(f"Others may read the key file {path}. Run: chmod 600 {path}")
    try:
        keys = [_key_of(line) for line in path.read_text("ascii").split()]
    except (ValueError, binascii.Error):
        keys = []
    if not keys:
        raise SetupFault(f"The key file {path} is damaged. Restore it from a backup: nothing sealed opens without it.")
    return {_id_of(key): key for key in keys}


def _key_of(line: str) -> bytes:
    key = base64.b64decode(line, validate=True)
    if len(key) != KEY_BYTES:
        raise ValueError("not a key line")
    return key


def _write_new(path: Path, text: str) -> None:
    """Appear at `path` whole or not at all; whoever comes second leaves the first one's file alone."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    _write_private(beside, text)
    try:
        os.link(beside, path)
    except FileExistsError:
        pass  # another process was first: its key is the key
    finally:
        beside.unlink()
    _sync_folder(path.parent)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
