"""The locations of the keys, from environment variables. A missing file is not an error: nothing is signed then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KEY, PUBLIC_KEYS = "signing.key", "public-keys.pem"
BUILDER = "https://assay.dev/operator"


@dataclass(frozen=True)
class SigningSettings:
    """`key_file` holds the private key, `public_keys_file` public keys; "" for none. `builder` names this operator."""

    key_file: str = ""
    public_keys_file: str = ""
    builder: str = BUILDER

    @property
    def files(self) -> list[str]:
        """The configured files. They may not exist."""
        return [path for path in (self.key_file, self.public_keys_file) if path]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SigningSettings:
        """Read ASSAY_SIGNING_KEY_FILE, ASSAY_SIGNING_PUBLIC_KEYS_FILE and ASSAY_SIGNING_BUILDER."""
        return cls(
            environment.get("ASSAY_SIGNING_KEY_FILE", "").strip(),
            environment.get("ASSAY_SIGNING_PUBLIC_KEYS_FILE", "").strip(),
            environment.get("ASSAY_SIGNING_BUILDER", "").strip() or BUILDER,
        )
