"""The files of charts/assay/argocd that are made of others: the patch of argocd-cm, and the testdata."""

from pathlib import Path

from tests.argocd import customizations, scenes


def expected() -> dict[Path, str]:
    """Return the text of every generated file."""
    testdata = {customizations.FOLDER / path: text for path, text in scenes.files().items()}
    return {customizations.CONFIG_MAP: customizations.config_map(), **testdata}


def stale() -> list[Path]:
    """Return the files that are not what they should be, or not there, or there for nothing."""
    wanted = expected()
    found = {path: path.read_text() for path in customizations.FOLDER.rglob("testdata/*.yaml")}
    if customizations.CONFIG_MAP.exists():
        found[customizations.CONFIG_MAP] = customizations.CONFIG_MAP.read_text()
    return sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
