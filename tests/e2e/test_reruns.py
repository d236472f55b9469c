"""Runs that are done again: the same bytes from the same recipe, and what is said where there are others."""

import json
from typing import Any

import pytest

from assay.planning.runs import compare, recipe
from assay.planning.runs.compare import Side
from assay.store import recorded
from tests.objects import Objects, condition, experiment, run

pytestmark = pytest.mark.e2e

Raw = dict[str, Any]
SOURCE = {"repository": "https://git.example.com/ml/digits", "revision": "3f2c0e" + "0" * 34}
SEEDED = """
import random
random.seed(int(os.environ['ASSAY_SEED']))
numbers = [float(line) for line in open('/assay/data/numbers/train.txt')]
for step in range(5):
    log(step=step, score=random.choice(numbers) + float(os.environ['PARAM_lr']))
(artifacts / 'model').mkdir()
(artifacts / 'model' / 'weights.bin').write_bytes(random.randbytes(1000))
"""
RANDOM = """
log(step=0, score=int.from_bytes(os.urandom(4)) / 2**32, fixed=1)
(artifacts / 'model').mkdir()
(artifacts / 'model' / 'weights.bin').write_bytes(os.urandom(1000))
"""


def ended(objects: Objects, name: str) -> Raw:
    found = objects.wait_phase("run", name, "Succeeded", "Failed")
    assert found["status"]["phase"] == "Succeeded", found["status"]
    return found


def said(found: Raw, kind: str) -> tuple[str, str]:
    return condition(found, kind)["status"], condition(found, kind)["reason"]


def create(objects: Objects, manifest: Raw) -> str:
    """Create an object, which may have no name yet; return its name."""
    created = objects.kubectl("create", "--output=json", "--filename=-", stdin=json.dumps(manifest))
    name: str = json.loads(created)["metadata"]["name"]
    return name


def test_a_rerun_reproduces_its_original_even_after_deletion(objects: Objects) -> None:
    manifest = experiment("seeded", SEEDED, parameters=[{"name": "lr", "values": [0.1]}])
    data = f"runs/{objects.namespace}/shared/numbers/"
    objects.store.put_bytes(f"{data}train.txt", b"0.5\n0.25\n0.125\n")
    datasets = [{"name": "numbers", "uri": f"s3://assay/{data}"}]
    manifest["spec"]["template"] |= {"source": SOURCE, "seed": 7, "model": {"path": "model"}, "datasets": datasets}
    manifest["spec"]["register"] = {"model": "digits"}
    objects.apply(manifest)
    original = ended(objects, "seeded-0")
    assert said(original, "Reproducible") == ("True", "RecipeKnown"), condition(original, "Reproducible")
    assert not condition(original, "Reproduced")
    found = original["status"]["datasets"][0]["digest"]
    version = objects.wait_phase("mv", "digits.v1", "Ready", "Failed")
    assert condition(version, "Reproducible")["message"] == condition(original, "Reproducible")["message"]
    assert version["spec"]["provenance"]["seed"] == 7

    again = ended(objects, create(objects, recipe.rerun_body(original)))
    assert again["metadata"]["name"].startswith("seeded-0-rerun-")
    assert said(again, "Reproduced") == ("True", "SameModel"), condition(again, "Reproduced")
    assert again["status"]["model"] == original["status"]["model"]
    assert again["spec"]["datasets"][0]["digest"] == found, "the data is pinned to what it was"
    assert again["status"]["metrics"].keys() == {"score"}
    different = compare.compare(Side(original), Side(again))
    assert {each.path.partition("[")[0] for each in different} <= {
        "spec.job.template.spec.containers",  # its image is named by digest now, if there is one
        "spec.objective.metric",
    }, different

    objects.kubectl("delete", "experiment", "seeded", "--wait=true", "--cascade=foreground", "--timeout=60s")
    assert not objects.get("run", "seeded-0")
    metadata = original["metadata"]
    gone = recorded.read_run(objects.store, objects.namespace, "seeded", metadata["name"], metadata["uid"])
    later = ended(objects, create(objects, recipe.rerun_body(gone, "later")))
    assert said(later, "Reproduced") == ("True", "SameModel"), condition(later, "Reproduced")

    objects.store.put_bytes(f"{data}train.txt", b"0.5\n0.25\n0.126\n")
    create(objects, recipe.rerun_body(gone, "tampered"))
    tampered = objects.wait_phase("run", "tampered", "Succeeded", "Failed")
    assert tampered["status"]["phase"] == "Failed"
    assert found in tampered["status"]["message"]
    assert said(tampered, "Reproduced") == ("False", "NotSucceeded")


def test_a_run_that_is_not_reproducible_is_reported_with_numbers(objects: Objects) -> None:
    objects.apply(run("moody", RANDOM, model={"path": "model"}))
    original = ended(objects, "moody")
    assert condition(original, "Reproducible")["message"].startswith(
        "not reproducible: spec.source is missing; the seed is missing: set spec.seed or a parameter named seed"
    )
    wanted = recipe.rerun_body(original, "moody-again")
    create(objects, wanted)
    loose = recipe.rerun_body(original, "moody-loose", tolerances={"score": 2.0})
    create(objects, loose)
    other = recipe.rerun_body(original, "moody-other")
    other["spec"]["parameters"] = {"lr": 1}
    create(objects, other)

    again = ended(objects, "moody-again")
    assert said(again, "Reproduced") == ("False", "MetricsDiffer")
    message = condition(again, "Reproduced")["message"]
    values = [found["status"]["metrics"]["score"]["last"] for found in (again, original)]
    assert message.startswith(f"compared with run moody: score.last is {values[0]!r}, was {values[1]!r} (off by ")
    assert "fixed" not in message
    digests = [found["status"]["model"]["digest"] for found in (again, original)]
    assert message.endswith(f"; the model's bytes differ: {digests[0]}, was {digests[1]}")

    assert said(ended(objects, "moody-loose"), "Reproduced") == ("True", "MetricsAgree")
    found = ended(objects, "moody-other")
    assert said(found, "Reproduced") == ("Unknown", "RecipeDiffers")
    assert condition(found, "Reproduced")["message"] == (
        "the recipe differs from that of run moody: spec.parameters.lr is 1, was absent"
    )


def test_a_missing_revision_and_a_missing_original_are_reported(objects: Objects) -> None:
    manifest = run("loose", "log(step=0, score=1)", source={"repository": "r", "revision": "main"}, seed=1)
    manifest["spec"]["rerunOf"] = {"name": "nobody", "uid": "00000000-0000-0000-0000-000000000000"}
    objects.apply(manifest)
    found = ended(objects, "loose")
    message = condition(found, "Reproducible")["message"]
    assert message.startswith("not reproducible: spec.source.revision main is not a full commit hash")
    assert said(found, "Reproduced") == ("Unknown", "OriginalMissing")
