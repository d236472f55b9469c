"""What the image is for, done in the image's own files: as user 65532, on a root file system that cannot be written."""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import rootfs
from tests.cluster import images

pytestmark = pytest.mark.integration

SOURCES = Path(__file__).parents[2] / "operator"
#: Runs on people's machines, with dependencies that the image does not have.
NOT_SHIPPED = ("assay.cli",)

Program = Callable[..., tuple[int, str]]

IMPORT_ALL = """\
import importlib, json, pkgutil, assay
def failed(name): raise
names = [found.name for found in pkgutil.walk_packages(assay.__path__, "assay.", failed)]
for name in names: importlib.import_module(name)
print(json.dumps(names))
"""
EVALUATE = """\
from assay.planning.promotion import expressions
text = "candidate.acc >= 0.9 && candidate.name.matches('d.*') && [1, 2].all(n, n > 0)"
gate = expressions.compile(text, ("candidate",))
print(*(gate.evaluate({"candidate": {"acc": acc, "name": "digits"}}).value for acc in (0.95, 0.85)))
"""
COMPACT = """\
import gzip, pathlib
from assay.recorder.parquet import write_parquet
folder = pathlib.Path("/mnt"); part = folder / "part.jsonl.gz"
part.write_bytes(gzip.compress(b'{"metric": "loss", "step": 1, "time": 2.0, "value": 0.5}\\n'))
write_parquet([part], 1, folder / "metrics.parquet", folder)
print((folder / "metrics.parquet").read_bytes()[:4])
"""
WRITE = """\
import os
errors = []
for folder in ("/", "/tmp", "/opt/assay", "/var"):
    try: open(os.path.join(folder, "probe"), "w")
    except OSError as error: errors.append(error.errno)
open("/mnt/probe", "w")
print(os.getuid(), os.getgid(), os.getgroups(), errors)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rootfs.Unpacked]:
    folder = tmp_path_factory.mktemp("root")
    yield rootfs.unpack(images.assay_image("buildah"), folder)
    shutil.rmtree(folder)


@pytest.fixture
def program(unpacked: rootfs.Unpacked, tmp_path: Path) -> Program:
    os.chown(tmp_path, rootfs.USER, rootfs.USER)

    def run(*argv: str, **environment: str) -> tuple[int, str]:
        with unpacked.start(argv, tmp_path, environment) as process:
            output = process.communicate(timeout=120)[0]
            return process.returncode, output

    return run


def test_programs_run_as_65532_and_can_write_only_to_volumes(program: Program) -> None:
    assert program("python", "-c", WRITE) == (0, f"65532 65532 [] {[errno.EROFS] * 4}\n")


def test_every_module_except_the_command_line_can_be_imported(program: Program) -> None:
    code, output = program("python", "-c", IMPORT_ALL)
    assert code == 0, output
    modules = {_module(path.relative_to(SOURCES)) for path in (SOURCES / "assay").rglob("*.py")}
    wanted = {name for name in modules if not name.startswith(NOT_SHIPPED)} - {"assay"}
    assert set(json.loads(output.splitlines()[-1])) == wanted


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("controllers", r"assay: ASSAY_\w+ is not set: .+"),
        ("recorder", r'.*"ASSAY_\w+ is not set".*'),
        ("fetch", r"ASSAY_FETCH_\w+ is not set"),
    ],
)
def test_each_part_starts_and_reports_the_missing_setting(program: Program, part: str, message: str) -> None:
    code, output = program("python", "-m", f"assay.{part}")
    assert code == 2
    assert re.fullmatch(message, output.strip()), output


@pytest.mark.parametrize("tool", ["assay.store.audit", "assay.store.restore", "assay.signing"])
def test_the_operations_tools_print_their_usage(program: Program, tool: str) -> None:
    code, output = program("python", "-m", tool, "--help")
    assert code == 0
    assert output.startswith(f"usage: python -m {tool}")


def test_a_key_pair_is_made_in_a_volume(program: Program, tmp_path: Path) -> None:
    code, output = program("python", "-m", "assay.signing", "keygen", f"{rootfs.VOLUME}/keys")
    assert code == 0, output
    assert any((tmp_path / "keys").iterdir())


def test_gates_are_evaluated_without_the_extensions_that_were_left_out(program: Program) -> None:
    assert program("python", "-c", EVALUATE) == (0, "True False\n")


def test_metrics_are_compacted(program: Program) -> None:
    assert program("python", "-c", COMPACT) == (0, "b'PAR1'\n")


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
