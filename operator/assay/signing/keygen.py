"""Creates a key pair, or rotates it; signatures of the previous key stay valid.

    <folder>/signing.key        the private key (PKCS8, not encrypted), readable only by its owner
             signing.pub        its public key, for tools that take a single key
             public-keys.pem    this public key and all previous ones

The file names are the keys of the Secret, so the folder can be turned into the Secret unchanged.
"""

from __future__ import annotations

import os
from pathlib import Path

from assay.signing.keys import key_id, new_key, private_pem, public_pem, read_public
from assay.signing.settings import KEY, PUBLIC_KEYS

PUBLIC = "signing.pub"


def make_keys(folder: Path, *, rotate: bool = False) -> str:
    """Write a new key pair to a folder and return its id. `rotate` replaces an existing key.

    Raises FileExistsError when there is a key and `rotate` is not set, KeyUnusable when the public keys cannot be
    read, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = new_key()
    known = read_public(folder / PUBLIC_KEYS)
    partial = folder / f"{KEY}.new"
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
        target.write(private_pem(key))
    if not rotate:
        try:
            os.link(partial, folder / KEY)
        finally:
            partial.unlink()
    # Publish the public key before the private key is used: after a crash in between, the old key still signs.
    (folder / PUBLIC_KEYS).write_bytes(b"".join(public_pem(each) for each in [key.public_key(), *known]))
    if rotate:
        partial.replace(folder / KEY)
    (folder / PUBLIC).write_bytes(public_pem(key.public_key()))
    return key_id(key.public_key())
