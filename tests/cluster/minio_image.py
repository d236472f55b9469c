"""A small image with the MinIO server that the local cluster runs, in the place of MinIO's own."""

from pathlib import Path

from tests.cluster import builds, oci, paths

IMAGE = "localhost/minio:assay"


def archive() -> Path:
    """The image as an OCI archive, made when it is missing. Its entrypoint takes MinIO's arguments."""
    program = builds.minio()
    path = paths.cache() / "images" / "minio.tar"
    if not path.exists() or path.stat().st_mtime < program.stat().st_mtime:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        oci.write_image(draft, IMAGE, {"bin/minio": program}, {}, ["/bin/minio"])
        draft.replace(path)
    return path
