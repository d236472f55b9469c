"""Parses the address of a data set in a store. No I/O, only light imports."""

from __future__ import annotations

from typing import NamedTuple

from assay.api.uris import decoded

_SCHEME = "s3://"


class Location(NamedTuple):
    """A location in a store. `key` is "" for a whole bucket; a key that ends with a slash can only be a folder."""

    bucket: str
    key: str

    @property
    def folder(self) -> str:
        """The prefix of everything in it, if it is a folder."""
        return self.key if self.key.endswith("/") or not self.key else f"{self.key}/"

    @property
    def is_folder(self) -> bool:
        """Whether it can only be a folder."""
        return self.key == self.folder


def parse(uri: str) -> Location:
    """Parse `s3://<bucket>/<key>`, with %XX decoded. Raises ValueError for anything else."""
    bucket, _, key = decoded(uri.removeprefix(_SCHEME)).partition("/")
    parts = key.removesuffix("/").split("/") if key else []
    if not uri.startswith(_SCHEME) or not bucket or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{uri[:300]!r} is not an address of the form s3://<bucket>/<key>")
    return Location(bucket, key)
