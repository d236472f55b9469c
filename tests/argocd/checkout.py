"""A Git repository of people who promote models, and the annotations by which Argo CD knows objects and waves."""

import os
import shutil
import subprocess
from pathlib import Path

TRACKING = "argocd.argoproj.io/tracking-id"
WAVE = "argocd.argoproj.io/sync-wave"


class Checkout:
    """A Git repository that begins with the files of a folder."""

    def __init__(self, folder: Path, origin: Path) -> None:
        self.folder = folder
        shutil.copytree(origin, folder)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("the first one")

    def git(self, *argv: str) -> str:
        """Run git as nobody in particular, whatever this machine's configuration says."""
        who = ("-c", "user.name=walter", "-c", "user.email=walter@example.com", "-c", "commit.gpgsign=false")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *who, *argv], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Commit everything as it is, and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", f"--message={message}")
        return self.git("rev-parse", "HEAD")

    def change(self, path: str, old: str, new: str, message: str) -> str:
        """Replace a text that stands once in a file, and commit that."""
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))
        return self.commit(message)

    def revert(self, commit: str) -> str:
        """Undo a commit by another one."""
        self.git("revert", "--no-edit", commit)
        return self.git("rev-parse", "HEAD")
