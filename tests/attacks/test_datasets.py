"""Attacks by way of data sets: having the operator's credentials read what is not one's own."""

import pytest

from tests import registry
from tests.attackers import SCIENTIST, Outcome, Realm, stopped
from tests.registry import digest

pytestmark = [pytest.mark.attacks, pytest.mark.integration]


def _run(realm: Realm, name: str, uri: str, **more: str) -> Outcome:
    return realm.create(SCIENTIST, registry.run(name, datasets=[{"name": "stolen", "uri": uri, **more}]))


def test_d01_read_the_runs_of_another_namespace(realm: Realm) -> None:
    stopped("D01", _run(realm, "d01", f"s3://assay/runs/{realm.other}/e/r/u/pods/p/artifacts/"))


def test_d02_read_the_data_of_another_namespace_with_an_experiment(realm: Realm) -> None:
    manifest = registry.experiment("d02")
    manifest["spec"]["template"]["datasets"] = [{"name": "stolen", "uri": f"s3://assay/models/{realm.other}/m/v1/"}]
    stopped("D02", realm.create(SCIENTIST, manifest))


def test_d03_hide_a_foreign_data_set_behind_allowed_ones(realm: Realm) -> None:
    own = [{"name": f"own-{number}", "uri": f"s3://assay/runs/{realm.namespace}/{number}/"} for number in range(62)]
    foreign = [{"name": "keys", "uri": "s3://payroll/x/", "secretRef": {"name": "mine"}}]
    foreign += [{"name": "stolen", "uri": f"s3://assay/runs/{realm.other}/x/"}]  # type: ignore[list-item]
    stopped("D03", realm.create(SCIENTIST, registry.run("d03", datasets=[*own, *foreign])))


def test_d04_escape_the_own_prefix(realm: Realm) -> None:
    stopped("D04", _run(realm, "d04", f"s3://assay/runs/{realm.namespace}/../{realm.other}/x/"))


def test_d05_read_a_namespace_whose_name_starts_with_the_own(realm: Realm) -> None:
    assert realm.other.startswith(realm.namespace)
    stopped("D05", _run(realm, "d05", f"s3://assay/runs/{realm.other}/x/"))


def test_d06_read_another_bucket(realm: Realm) -> None:
    stopped("D06", _run(realm, "d06", "s3://payroll/"))


def test_d07_widen_the_policy_with_a_pattern(realm: Realm) -> None:
    stopped("D07", _run(realm, "d07", f"s3://assay/runs/{realm.namespace}/*"))


def test_d08_fetch_bytes_from_the_web_without_a_digest(realm: Realm) -> None:
    stopped("D08", _run(realm, "d08", "https://data.example.com/x"))


def test_d09_change_what_a_run_reads(realm: Realm) -> None:
    datasets = [{"name": "own", "uri": f"s3://assay/runs/{realm.namespace}/x/"}]
    realm.created(SCIENTIST, registry.run("d09", datasets=datasets))
    patch = {"spec": {"datasets": [{"name": "own", "uri": f"s3://assay/runs/{realm.other}/x/"}]}}
    stopped("D09", realm.merge(SCIENTIST, "run", "d09", patch))


def test_prefixes_allowed_by_the_platform_team_are_readable(realm: Realm) -> None:
    annotate = ("annotate", "--overwrite", "namespace", realm.namespace)
    datasets = [{"name": "shared", "uri": "s3://datasets/digits/2.1/"}]
    manifest = registry.run("allowed", datasets=datasets)
    realm.must("petra", *annotate, "assay.dev/allowed-prefixes=s3://other/ s3://datasets/digits/")
    try:
        realm.created(SCIENTIST, manifest)
        near = registry.run("near", datasets=[{"name": "near", "uri": "s3://datasets/digits-secret/"}])
        assert not realm.create(SCIENTIST, near).done
    finally:
        realm.must("petra", *annotate, "assay.dev/allowed-prefixes-")


def test_any_address_is_readable_with_the_users_own_keys(realm: Realm) -> None:
    assert _run(realm, "own-keys", "s3://payroll/x/", secretRef={"name": "mine"}).done  # type: ignore[arg-type]
    assert _run(realm, "web", "https://data.example.com/x", digest=digest()).done
