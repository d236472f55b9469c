"""What the address of a data set in a store names. No I/O, and imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

_SCHEME = "s3://"


class Location(NamedTuple):
    """A place in a store. `key` is "" for a whole bucket; one that ends with a slash is a folder and nothing else."""

    bucket: str
    key: str

    @property
    def folder(self) -> str:
        """The prefix that everything in it has if it is a folder."""
        return self.key if self.key.endswith("/") or not self.key else f"{self.key}/"

    @property
    def is_folder(self) -> bool:
        """Whether it can only be a folder."""
        return self.key == self.folder


def parse(uri: str) -> Location:
    """The place that `s3://<bucket>/<key>` names. Raises ValueError for anything else."""
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    parts = key.removesuffix("/").split("/") if key else []
    if not uri.startswith(_SCHEME) or not bucket or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{uri[:300]!r} is not an address like s3://<bucket>/<key>")
    return Location(bucket, key)
