"""Makes a key pair, or a new one in the place of an older one that stays believed.

    <folder>/signing.key        the private key (PKCS8, not encrypted), only its owner can read it
             signing.pub        its public key, for those who verify with one key
             public-keys.pem    this one and all before it

The files are the keys of the Secret as they stand.
"""

from __future__ import annotations

import os
from pathlib import Path

from assay.signing.keys import key_id, new_key, private_pem, public_pem, read_public
from assay.signing.settings import KEY, PUBLIC_KEYS

PUBLIC = "signing.pub"


def make_keys(folder: Path, *, rotate: bool = False) -> str:
    """Write a new key pair into a folder; gives its id. With `rotate` in the place of the one that is there.

    Raises FileExistsError when there is a key and it is not to be replaced, KeyUnusable when the public keys cannot be
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
    # Believed before it signs: a crash in between leaves the old key signing.
    (folder / PUBLIC_KEYS).write_bytes(b"".join(public_pem(each) for each in [key.public_key(), *known]))
    if rotate:
        partial.replace(folder / KEY)
    (folder / PUBLIC).write_bytes(public_pem(key.public_key()))
    return key_id(key.public_key())
