"""Write the CRDs: ``python -m assay.api DIR``. With ``--check``, only report whether they are up to date."""

import argparse
import sys
from pathlib import Path

import yaml

from assay.api.crd import KINDS

_HEADER = "# Generated from operator/assay/api by `make crds`. Do not edit.\n"


def render() -> dict[str, str]:
    """Return the text of every CRD file by file name."""
    return {
        f"{kind.plural}.yaml": _HEADER + yaml.safe_dump(kind.crd(), sort_keys=False, width=110, allow_unicode=True)
        for kind in KINDS
    }


def stale(folder: Path) -> list[str]:
    """Return the names of the files in the folder that differ from the models."""
    expected = render()
    found = {path.name: path.read_text() for path in folder.glob("*.yaml")}
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def main() -> int:
    """Run the command line; the exit code is 1 when --check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m assay.api", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        names = stale(args.folder)
        if names:
            sys.stderr.write(f"{', '.join(names)} differ from the models: run `make crds`\n")
        return 1 if names else 0
    args.folder.mkdir(exist_ok=True)
    for name, text in render().items():
        (args.folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
