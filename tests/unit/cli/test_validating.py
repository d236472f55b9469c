"""Offline validation of manifests: the same result as the API server, with positions in the file."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.api.crd import KINDS
from assay.cli.manifests import patterns
from assay.cli.manifests.validate import Complaint, check
from tests import registry
from tests.integration.test_schema import ACCEPTED, EXPERIMENT, REFUSED, RUN, Change, changed, put

pytestmark = pytest.mark.unit

Raw = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
#: Parts of a kustomization: whole only together.
PARTS = {"gitops/models/digits/base/alias.yaml", "gitops/models/digits/prod/version.yaml"}


def complaints(*manifests: Raw) -> list[Complaint]:
    return check("file.yaml", yaml.safe_dump_all(manifests)).complaints


def messages(text: str) -> list[str]:
    """Return the complaints about a text, without the file's name."""
    return [str(each).removeprefix("file.yaml:") for each in check("file.yaml", textwrap.dedent(text)).complaints]


@pytest.mark.parametrize(("manifest", "change", "message"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_validation_refuses_what_the_api_server_refuses(manifest: Raw, change: Change, message: str) -> None:
    found = complaints(changed(manifest, change))
    assert found
    # Where a rule has words of its own, they are the same words.
    rule = re.fullmatch(r"(?:[\w.\[\]]+: Invalid value: )?([a-z][^:\"]+(?:: [^\"]+)?)", message)
    known = rule and not message.startswith(("spec.", "must ", "supported", "spec: Required"))
    assert not known or any(rule[1] in each.message for each in found), found  # type: ignore[index]


@pytest.mark.parametrize(("manifest", "change"), [a[1:] for a in ACCEPTED], ids=[a[0] for a in ACCEPTED])
def test_validation_accepts_what_the_api_server_accepts(manifest: Raw, change: Change) -> None:
    assert complaints(changed(manifest, change)) == []
    assert check("file.json", json.dumps(changed(manifest, change))).complaints == []


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_every_example_is_valid(file: Path) -> None:
    found = check(file.name, file.read_text())
    assert (found.complaints == []) == (str(file.relative_to(EXAMPLES)) not in PARTS)
    assert found.objects or found.skipped


# Where it is


def test_each_complaint_has_its_position() -> None:
    text = """
    apiVersion: assay.dev/v1alpha1
    kind: Experiment
    metadata: {name: sweep}
    spec:
      objective:
        metric: score
        direction: up
      paralelism: 2
      parameters:
      - name: lr
        values: []
      - {name: lr, values: [1]}
      template:
        job:
          template: {spec: {}}
    """
    assert messages(text) == [
        '8:16: Experiment/sweep: spec.objective.direction: "up" is not one of maximize, minimize',
        "9:3: Experiment/sweep: spec.paralelism: unknown field: did you mean parallelism?",
        "12:13: Experiment/sweep: spec.parameters[0].values: the list must not be empty",
        '13:5: Experiment/sweep: spec.parameters[1]: duplicate entry: {"name": "lr"}',
        "16:24: Experiment/sweep: spec.template.job.template.spec: containers is missing",
    ]


def test_duplicate_keys_are_reported_except_merged_ones() -> None:
    text = """
    apiVersion: assay.dev/v1alpha1
    kind: ModelAlias
    metadata: {name: digits.champion}
    spec: {model: digits, alias: champion, version: 1, version: 2}
    """
    assert messages(text) == ["5:52: ModelAlias/digits.champion: version: duplicate key"]
    merged = """
    apiVersion: assay.dev/v1alpha1
    kind: List
    items:
    - apiVersion: assay.dev/v1alpha1
      kind: ModelAlias
      metadata: {name: digits.champion}
      spec: &it {model: digits, alias: champion, version: 1}
    - apiVersion: assay.dev/v1alpha1
      kind: ModelAlias
      metadata: {name: digits.canary}
      spec:
        <<: *it
        alias: canary
    """
    assert messages(merged) == []


def test_every_document_of_a_file_is_checked() -> None:
    broken = registry.model_alias("digits", "v3", 1)
    found = check("f", yaml.safe_dump_all([registry.run("a"), registry.deployment("server"), broken, None]))
    assert (found.objects, found.skipped) == (2, ["f: Deployment of apps/v1"])
    assert [each.message for each in found.complaints] == ["an alias cannot be named like a version"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "1:6: while parsing a flow sequence expected ',' or ']', but got '<stream end>'"),
        ("a:\n\t- b", "2:1: while scanning for the next token found character '\\t' that cannot start any token"),
        ("just words", "1:1: ?/?: not an object: a manifest is a map with apiVersion, kind, metadata and spec"),
        ("a: !!python/object:os.system {}", "1:4: "),
    ],
)
def test_texts_that_are_not_manifests_are_reported(text: str, message: str) -> None:
    (found,) = messages(text)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("kind", "Experimnt"), "1:"),
        (put("apiVersion", "assay.dev/v1"), "apiVersion: must be assay.dev/v1alpha1, not assay.dev/v1"),
        (put("metadata.name", ...), "metadata: name is missing"),
        (put("metadata.labels", {"a": 1}), "metadata.labels.a: must be a string: put it in quotes"),
        (put("metadata.labels", {"a": "b c"}), "metadata.labels.a: a label value has at most 63 letters"),
        (put("metadata.lables", {}), "metadata.lables: unknown field: did you mean labels?"),
        (put("metadata.name", 3), "metadata.name: must be a string: put it in quotes"),
    ],
)
def test_kind_version_and_metadata_are_checked(change: Change, message: str) -> None:
    found = complaints(changed(EXPERIMENT, change))
    assert len(found) == 1
    assert message in f"{found[0].line}:{found[0].path}: {found[0].message}"


def test_an_object_whose_name_is_generated_is_valid() -> None:
    manifest = changed(EXPERIMENT, put("metadata", {"generateName": "sweep-"}))
    assert complaints(manifest) == []


# What kubectl makes of a text


@pytest.mark.parametrize("number", ["1e-3", "1E3", ".5", "0x10", "017", "-1.5e+3"])
def test_numbers_are_parsed_like_kubectl(number: str) -> None:
    text = (
        "apiVersion: assay.dev/v1alpha1\nkind: Run\nmetadata: {name: a}\nspec: {rerunOf: {name: r, uid: u, tolerances: "
    )
    job = "{template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}"
    text += f"{{m: {number}}}}}, job: {job}}}"
    found = check("f", text).complaints
    assert [each.message for each in found] == (["-1500.0 is less than 0"] if number.startswith("-") else [])


@pytest.mark.parametrize("words", ["12:30", "2026-01-31", "1_0.0_1x", "1e-3.0"])
def test_strings_are_parsed_like_kubectl(words: str) -> None:
    policy = "apiVersion: assay.dev/v1alpha1\nkind: PromotionPolicy\nmetadata: {name: a}\nspec: "
    assert check("f", policy + f"{{gates: [{{name: {words}, expression: 'true'}}]}}").complaints == []
    window = "{freeze: [{name: f, weekly: {days: [Mon], from: 12:30}}]}"
    assert check("f", policy + window).complaints == []


# What the API server takes, and the operator would not


@pytest.mark.parametrize(
    ("manifest", "place"),
    [
        (changed(EXPERIMENT, put("spec.parameters.0.values", [{"a": 1}])), "spec.parameters"),
        (changed(EXPERIMENT, put("spec.parameters", [{"name": f"p{n}", "values": list(range(100))} for n in range(4)])),
         "spec.parameters"),
        (changed(EXPERIMENT, put("spec.register", {"model": "digits", "when": "run.x >"})), "spec.register.when"),
        (changed(EXPERIMENT, put("spec.template.job.template.spec.containers.0.name", ...)),
         "spec.template.job.template.spec.containers[0]"),
        (changed(RUN, put("spec.parameters", {"a b": 1})), "spec.job"),
        (changed(RUN, put("spec.job.template.spec.containers.0.name", "assay-recorder")), "spec.job"),
    ],
)  # fmt: skip
def test_manifests_the_operator_would_reject_are_reported(manifest: Raw, place: str) -> None:
    (found,) = complaints(manifest)
    assert found.path == place


POD = "spec.job.template.spec"
CONTAINER = f"{POD}.containers.0"
#: A mistake in a Job: the field, its value, the path that is named, and what is said.
MISTAKES: list[tuple[str, Any, str, str]] = [
    ("spec.job.backofLimit", 0, "spec.job.backofLimit", "unknown field: did you mean backoffLimit"),
    ("spec.job.template.metdata", {}, "spec.job.template.metdata", "unknown field: did you mean metadata?"),
    (f"{POD}.tolerations", [{"kye": "gpu"}], f"{POD}.tolerations[0].kye", "unknown field: did you mean key?"),
    (f"{CONTAINER}.resouces", {}, f"{POD}.containers[0].resouces", "unknown field: did you mean resources?"),
    (f"{CONTAINER}.comand", ["a"], f"{POD}.containers[0].comand", "unknown field: did you mean command?"),
    (f"{CONTAINER}.resources", {"limit": {}}, f"{POD}.containers[0].resources.limit", "did you mean limits?"),
    (f"{CONTAINER}.env", [{"name": "A", "value": 1}], f"{POD}.containers[0].env[0].value", "1 is not a string"),
    (f"{CONTAINER}.command", "true", f"{POD}.containers[0].command", "must be a list of strings: ['true']"),
    (f"{CONTAINER}.args", "a b", f"{POD}.containers[0].args", "must be a list of strings: ['a b']"),
    (f"{CONTAINER}.image", ..., f"{POD}.containers[0]", "image is missing"),
    (f"{POD}.restartPolicy", ..., POD, "restartPolicy is missing: use Never or OnFailure"),
    (f"{POD}.restartPolicy", "Always", f"{POD}.restartPolicy", "restartPolicy is Always: use Never or OnFailure"),
    (
        f"{CONTAINER}.volumeMounts",
        [{"name": "cache", "mountPath": "/cache"}],
        f"{POD}.containers[0].volumeMounts[0]",
        "the pod has no volume 'cache'",
    ),
]
AMOUNTS: list[tuple[Raw, str, str]] = [
    ({"requests": {"cpu": "lots"}}, "requests.cpu", "'lots' is not an amount such as 2 or 500m"),
    ({"limits": {"memory": "4GB"}}, "limits.memory", "'4GB' is not an amount such as 4Gi or 500M: use G or Gi for GB"),
    ({"limits": {"memory": "4 Gi"}}, "limits.memory", "'4 Gi' is not an amount such as 4Gi or 500M"),
    ({"requests": {"cpu": "-1"}}, "requests.cpu", "-1 is negative"),
    ({"limits": {"gpu": 1}}, "limits.gpu", "unknown resource gpu: use nvidia.com/gpu or your vendor's name"),
    ({"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}, "requests.cpu", "2 is more than the limit 1500m"),
    (
        {"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}},
        "requests.memory",
        "1Gi is more than the limit 1G",
    ),
]


@pytest.mark.parametrize(
    ("field", "value", "path", "message"), MISTAKES, ids=[f"{each[0]}-{n}" for n, each in enumerate(MISTAKES)]
)
def test_mistakes_in_a_job_are_found(field: str, value: Any, path: str, message: str) -> None:
    (found,) = complaints(changed(RUN, put(field, value)))
    assert found.path == path
    assert message in found.message
    experiment = changed(EXPERIMENT, put(field.replace("spec.job", "spec.template.job"), value))
    assert [each.path for each in complaints(experiment)] == [path.replace("spec.job", "spec.template.job")]


@pytest.mark.parametrize(("resources", "field", "message"), AMOUNTS, ids=[each[2] for each in AMOUNTS])
def test_mistakes_in_amounts_are_found(resources: Raw, field: str, message: str) -> None:
    (found,) = complaints(changed(RUN, put(f"{CONTAINER}.resources", resources)))
    assert (found.path, found.message) == (f"{POD}.containers[0].resources.{field}", message)


@pytest.mark.parametrize("amount", ["1", 1, 0.5, "500m", "1.5", ".5", "1e3", "1E3", "2E", "1Ei", "100n", "+1", "0"])
def test_amounts_are_what_kubernetes_takes(amount: Any) -> None:
    assert complaints(changed(RUN, put(f"{CONTAINER}.resources", {"requests": {"cpu": amount}}))) == []


def test_errors_have_line_and_column() -> None:
    text = (
        "apiVersion: assay.dev/v1alpha1\nkind: Run\nmetadata: {name: a}\nspec:\n  job:\n    backofLimit: 0\n"
        "    template:\n      spec:\n        restartPolicy: Never\n        containers:\n"
        "        - name: train\n          image: a\n          resouces: {}\n"
    )
    assert [(each.line, each.column) for each in check("f", text).complaints] == [(6, 5), (13, 11)]


def _patterns(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "pattern" and isinstance(value, str))
        yield from (each for value in node.values() for each in _patterns(value))
    elif isinstance(node, list):
        yield from (each for value in node for each in _patterns(value))


def test_no_pattern_of_a_spec_is_shown_to_users() -> None:
    schemas = [kind.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS]
    found = {pattern for schema in schemas for pattern in _patterns(schema["properties"]["spec"])}
    assert {pattern for pattern in found if pattern in patterns.in_words(pattern)} == set()
    assert len(found) > 5


def test_an_invalid_parameter_name_is_explained() -> None:
    (found,) = complaints(changed(EXPERIMENT, put("spec.parameters.0.name", "lr/decay")))
    assert found.path == "spec.parameters[0].name"
    assert found.message.startswith("a parameter's name has at most 63 letters, digits, '_', '-' and '.'")
    assert complaints(changed(EXPERIMENT, put("spec.parameters.0.name", "model.learning-rate"))) == []


def policy(**spec: Any) -> Raw:
    return {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "PromotionPolicy",
        "metadata": {"name": "champion"},
        "spec": spec,
    }


def test_gates_and_windows_of_a_policy_are_compiled() -> None:
    gates = [
        {"name": "good", "expression": "candidate.metrics.f1.last > 0.9"},
        {"name": "bad", "expression": "candidat"},
    ]
    freeze = [{"name": "night", "weekly": {"days": ["Mon"], "timeZone": "Europe/Bernau"}}]
    found = {each.path: each.message for each in complaints(policy(gates=gates, freeze=freeze))}
    assert found == {
        "spec.gates[1].expression": "gate bad: line 1, column 1: there is no 'candidat'; variables: candidate, current",
        "spec.freeze[0]": "freeze night: unknown time zone Europe/Bernau",
    }


@pytest.mark.parametrize("kind", ["Run", "Experiment"])
def test_a_pattern_for_printed_metrics_is_compiled(kind: str) -> None:
    collect = {"stdout": {"format": "regex", "pattern": "(?P<loss>x)(?=y)"}}
    manifest, where = (EXPERIMENT, "spec.template.collect") if kind == "Experiment" else (RUN, "spec.collect")
    (found,) = complaints(changed(manifest, put(where, collect)))
    message = "the pattern is not valid in the syntax of RE2: invalid perl operator: (?="
    assert f"{where}.stdout.pattern: {message}" in str(found)
