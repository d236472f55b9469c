"""`python -m tests.sessions FILE`: play the working day on a cluster of its own, and record it."""

import argparse
import os
import tempfile
from pathlib import Path

from tests.cluster import charting, images
from tests.cluster.local import LocalCluster
from tests.sessions import recording
from tests.sessions.day import STEPS, Played, Player
from tests.sessions.stage import Stage


def main() -> int:
    """Play the day, and record it when every step has come to what it should; else return 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.sessions", description="Record the working day.")
    parser.add_argument("file", type=Path, help="the document to write")
    target: Path = parser.parse_args().file
    with LocalCluster(f"sessions-{os.getpid()}") as cluster, tempfile.TemporaryDirectory() as folder:
        for archive in (images.assay_image(), images.quickstart_image()):
            cluster.load_image(archive)
        release = charting.Release(cluster)
        release.install()
        return record(Stage(release, Path(folder)), target)


def record(stage: Stage, target: Path) -> int:
    """Play the day on a stage and write it down; return 1 when a step has not come to what it should."""
    stage.prepare()
    player, played, troubles = Player(stage), list[Played](), list[str]()
    for step in STEPS:
        played.append(player.play(step))
        print(f"{step.person}$ {played[-1].command}\n{played[-1].screen}\n", flush=True)
        troubles += [f"{step.person}$ {played[-1].command}\n  {each}" for each in played[-1].troubles()]
    if troubles:
        print("\n".join(troubles))
        return 1
    target.write_text(recording.written(played, stage.folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
