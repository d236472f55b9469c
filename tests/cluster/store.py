"""The object store of a cluster: its address, the user as whom the operator acts, and users who only read.

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
    _create_user(store, POLICY, store.access_key, store.secret_key, _policy(store.bucket))


def create_reader(store: StoreEndpoint, namespace: str, secret_key: str) -> StoreEndpoint:
    """Make the user `<namespace>-reader`, who reads what Assay keeps of a namespace; return the store with its key.

    A user that exists gets the new key.
    """
    name = f"{namespace}-reader"
    _create_user(store, name, name, secret_key, reader_policy(store.bucket, namespace))
    return StoreEndpoint(store.endpoint, name, secret_key, bucket=store.bucket, region=store.region)


def reader_policy(bucket: str, namespace: str) -> dict[str, object]:
    """Return the policy that docs/cli.md gives to people: read a namespace's records, write nothing."""
    folders = [f"{folder}/{namespace}/*" for folder in ("runs", "models", "audit")]
    objects = [f"arn:aws:s3:::{bucket}/{folder}" for folder in folders]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": objects},
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{bucket}"],
                "Condition": {"StringLike": {"s3:prefix": folders}},
            },
        ],
    }


def _create_user(store: StoreEndpoint, policy: str, access_key: str, secret_key: str, rules: dict[str, object]) -> None:
    # Here, because most processes that import this module never need the client.
    from minio import MinioAdmin
    from minio.credentials.providers import StaticProvider

    administrator = MinioAdmin(
        endpoint=urllib.parse.urlsplit(store.endpoint).netloc,
        credentials=StaticProvider(store.root_access_key, store.root_secret_key),
        region=store.region,
        secure=store.endpoint.startswith("https"),
    )
    administrator.user_add(access_key, secret_key)
    administrator.policy_add(policy, policy=rules)
    administrator.policy_set(policy, user=access_key)


def _policy(bucket: str) -> dict[str, object]:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": resources}],
    }
