"""Where the keys are, from environment variables. A file that is not there is no error: then nothing is signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KEY, PUBLIC_KEYS = "signing.key", "public-keys.pem"
BUILDER = "https://assay.dev/operator"


@dataclass(frozen=True)
class SigningSettings:
    """`key_file` holds the private key, `public_keys_file` public ones; "" for none. `builder` names this operator."""

    key_file: str = ""
    public_keys_file: str = ""
    builder: str = BUILDER

    @property
    def files(self) -> list[str]:
        """The files that there may be."""
        return [path for path in (self.key_file, self.public_keys_file) if path]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SigningSettings:
        """Read ASSAY_SIGNING_KEY_FILE, ASSAY_SIGNING_PUBLIC_KEYS_FILE and ASSAY_SIGNING_BUILDER."""
        return cls(
            environment.get("ASSAY_SIGNING_KEY_FILE", "").strip(),
            environment.get("ASSAY_SIGNING_PUBLIC_KEYS_FILE", "").strip(),
            environment.get("ASSAY_SIGNING_BUILDER", "").strip() or BUILDER,
        )
