"""Addresses of data sets, and the policies of the credentials that read them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.store.config import StoreConfig
from assay.store.credentials import MAX_POLICY_CHARS, dataset_credentials, dataset_policies, issue_dataset_credentials
from assay.store.locations import Location, parse

pytestmark = pytest.mark.unit

segments = st.text("abcü0.-_", min_size=1, max_size=40).filter(lambda text: text.strip("."))
places = st.builds(
    lambda bucket, parts, slash: Location(f"bucket-{bucket}", "/".join(parts) + ("/" if slash and parts else "")),
    st.integers(0, 2),
    st.lists(segments, max_size=6),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("uri", "bucket", "key", "folder", "is_folder"),
    [
        ("s3://b/x/y/", "b", "x/y/", "x/y/", True),
        ("s3://b/x/y", "b", "x/y", "x/y/", False),
        ("s3://b/", "b", "", "", True),
        ("s3://b", "b", "", "", True),
        ("s3://b/my data/50%/#1/$x", "b", "my data/50%/#1/$x", "my data/50%/#1/$x/", False),
        ("s3://b/my%20data/50%25/%231/%24x", "b", "my data/50%/#1/$x", "my data/50%/#1/$x/", False),
        ("s3://b/%C3%BC/%FF/", "b", "ü/%FF/", "ü/%FF/", True),
    ],
)
def test_an_address_is_parsed(uri: str, bucket: str, key: str, folder: str, is_folder: bool) -> None:
    found = parse(uri)
    assert (found.bucket, found.key, found.folder, found.is_folder) == (bucket, key, folder, is_folder)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "b/x",
        "gs://b/x",
        "s3://",
        "s3:///x",
        "s3://b//x",
        "s3://b/x//",
        "s3://b/../x",
        "s3://b/%2e%2e/x",
        "s3://b/a%2F..%2fx",
    ],
)
def test_an_invalid_address_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="is not an address of the form"):
        parse(uri)


@given(st.dictionaries(segments, places, min_size=1, max_size=64))
def test_policies_cover_exactly_the_data_sets_once(asked: dict[str, Location]) -> None:
    found = dataset_policies(asked)
    assert sorted(name for names, _ in found for name in names) == sorted(asked)
    for names, policy in found:
        assert len(policy) <= MAX_POLICY_CHARS
        statements = json.loads(policy)["Statement"]
        assert {action for each in statements for action in each["Action"]} == {"s3:GetObject", "s3:ListBucket"}
        mine = [asked[name] for name in names]
        wanted = {f"arn:aws:s3:::{place.bucket}/{place.folder}*" for place in mine}
        wanted |= {f"arn:aws:s3:::{place.bucket}/{place.key}" for place in mine if not place.is_folder}
        assert set(statements[0]["Resource"]) == wanted
        listed = {
            (each["Resource"][0], prefix)
            for each in statements[1:]
            for prefix in each["Condition"]["StringLike"]["s3:prefix"]
        }
        assert listed == {(f"arn:aws:s3:::{place.bucket}", f"{place.folder}*") for place in mine}


def test_a_policy_takes_a_key_literally() -> None:
    ((_, policy),) = dataset_policies({"a": Location("b", "100%/${aws:username}/*")})
    statements = json.loads(policy)["Statement"]
    assert statements[0]["Resource"] == [
        "arn:aws:s3:::b/100%/?{aws:username}/?",
        "arn:aws:s3:::b/100%/?{aws:username}/?/*",
    ]
    assert statements[1]["Condition"]["StringLike"]["s3:prefix"] == ["100%/?{aws:username}/?/*"]


def test_an_address_too_long_for_a_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="the session policy for the data sets long has"):
        dataset_policies({"long": Location("bucket", "x" * 1000), "short": Location("bucket", "x")})


def test_credentials_are_found_by_name() -> None:
    config = StoreConfig("https://s", sts=False, run_access_key="key", run_secret_key="hush")
    text = issue_dataset_credentials(config, {"a": Location("b", "x/"), "c": Location("b", "y")})
    assert dataset_credentials(text, "c").access_key == "key"
    with pytest.raises(ValueError, match="no credentials for the data set d"):
        dataset_credentials(text, "d")


@pytest.mark.parametrize("text", ["", "[1]", "{}x", '[{"names": ["a"]}]', '[{"names": ["a"], "credentials": "hush"}]'])
def test_invalid_credentials_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(ValueError, match="not credentials as Assay writes them") as caught:
        dataset_credentials(text, "a")
    assert "hush" not in str(caught.value)
