"""Each source of the recorder while the recorder is killed: 100,000 points of 1,000 metrics, 50 kills.

Ends with an error if a point is lost or doubled. The reduced form is tests/integration/test_recorder_faults.py.
"""

import tempfile
from pathlib import Path

from tests import s3
from tests.integration.recorder_sources import SOURCES
from tests.integration.test_recorder_faults import check_kills
from tests.integration.test_recorder_process import Recorder

POINTS, NAMES, KILLS = 100_000, 1000, 50


async def measure() -> dict[str, float]:
    """Return how many points of each source were compared."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        server = s3.minio_server(Path(name, "store"))
        server.start()
        s3.add_user(server, s3.USER_KEY, s3.USER_SECRET)
        try:
            for source in SOURCES:
                print(f"# {source.name}: {POINTS} points, {KILLS} kills", flush=True)
                folder = Path(name, source.name)
                folder.mkdir()
                recorder = Recorder(folder, server)
                recorder.issue()
                try:
                    check_kills(source(), recorder, folder, POINTS, NAMES, KILLS)
                finally:
                    recorder.kill()
                found[f"faults_{source.name}_points_over_{KILLS}_kills"] = float(POINTS)
        finally:
            server.kill()
    return found
