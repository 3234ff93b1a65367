"""The key that encrypts upstream keys and kept answers at rest: one file, made at the first start, its owner's alone.

Losing the file loses what it encrypts, and nothing else: money and API keys do not depend on it.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from farebox.faults import SetupFault
from farebox.store.binaries import make_folder
from farebox.store.locks import give_to_folder_owner

KEY_BYTES = 32


def secret_key(path: Path) -> bytes:
    """The 32 bytes of the key; a new file with a fresh key if there is none. Raises `SetupFault` if it is no key."""
    try:
        if not path.exists():
            _create(path)
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except binascii.Error:
        key = b""
    except OSError as trouble:
        raise SetupFault(f"The secret key file {path} cannot be used: {trouble.strerror}.") from trouble
    if len(key) != KEY_BYTES:
        raise SetupFault(
            f"{path} is not a secret key ({KEY_BYTES} bytes in base64). Restore it from a backup; "
            "without it the stored upstream keys cannot be read and must be entered again."
        )
    return key


def _create(path: Path) -> None:
    """Written whole under another name, then linked: of processes that start together one wins and all use its key."""
    make_folder(path.parent, 0o711 if os.geteuid() == 0 else 0o700)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            give_to_folder_owner(descriptor, path)
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(descriptor)
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
