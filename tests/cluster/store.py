"""The object store of a cluster: its address, and the user as whom the operator acts.

MinIO refuses AssumeRole to service-account keys, hence a real user. It may do everything in one bucket,
create that bucket, and nothing else.
"""

import urllib.parse
from dataclasses import dataclass, field

POLICY = "assay-operator"


@dataclass(frozen=True)
class StoreEndpoint:
    """An S3-compatible store. The address is the same from the host and from pods."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    root_access_key: str = field(default="", repr=False)
    root_secret_key: str = field(default="", repr=False)
    bucket: str = "assay"
    region: str = "us-east-1"

    def environment(self) -> dict[str, str]:
        """The variables with which the operator reaches this store."""
        return {
            "ASSAY_STORE_ENDPOINT": self.endpoint,
            "ASSAY_STORE_REGION": self.region,
            "ASSAY_STORE_BUCKET": self.bucket,
            "ASSAY_STORE_ACCESS_KEY": self.access_key,
            "ASSAY_STORE_SECRET_KEY": self.secret_key,
        }


def create_operator_user(store: StoreEndpoint) -> None:
    """Make the user `store.access_key` on a fresh MinIO, as its root user."""
    # Here, because most processes that import this module never need the client.
    from minio import MinioAdmin
    from minio.credentials.providers import StaticProvider

    administrator = MinioAdmin(
        endpoint=urllib.parse.urlsplit(store.endpoint).netloc,
        credentials=StaticProvider(store.root_access_key, store.root_secret_key),
        region=store.region,
        secure=store.endpoint.startswith("https"),
    )
    administrator.user_add(store.access_key, store.secret_key)
    administrator.policy_add(POLICY, policy=_policy(store.bucket))
    administrator.policy_set(POLICY, user=store.access_key)


def _policy(bucket: str) -> dict[str, object]:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": resources}],
    }
