"""Real S3-compatible servers for the tests of the store and the recorder."""

from tests.s3 import minio, own_minio, rclone, s3

__all__ = ["minio", "own_minio", "rclone", "s3"]
