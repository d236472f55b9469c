"""The commands for models, versions, approvals and requirements, on objects as the operator leaves them."""

import json
import os
import pty
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import registry
from tests.attackers import PERSONAS
from tests.cli import golden
from tests.cli.conftest import Answer, run
from tests.cli.running import TIMEOUT_SECONDS
from tests.cli.stand_in import StandIn, metric
from tests.cluster.waiting import wait_for
from tests.conftest import Cluster

pytestmark = pytest.mark.integration

Assay = Callable[..., Answer]
Raw = dict[str, Any]
SINCE = "2026-03-02T10:00:00Z"
KEY = "champion.approval.assay.dev/"
RITA = ("--as=rita", "--as-group=system:masters")
#: The last column of a table that says how old an object is.
#: An age of one digit is followed by a space more than one of two, which is as wide as the column's title.
AGE = re.compile(r"\b(?:\d[smhd] (?= )|\d+[smhd]\b)")


class ModelCache(StandIn):
    """A namespace with models in it, as the operator has left them."""

    def version(self, number: int, f1: float, run: Raw | None = None, *, archived: bool = False, **status: Any) -> None:
        """Create a version of digits that is registered."""
        labels = {"assay.dev/archived": "true"} if archived else {}
        spec: Raw = {"owner": "dora"}
        if run is not None:
            spec["run"] = {"name": run["metadata"]["name"], "uid": run["metadata"]["uid"], "experiment": "digits"}
        manifest = registry.model_version(
            "digits", number, namespace=self.namespace, metadata={"labels": labels}, **spec
        )
        digest = registry.digest(str(number)[-1])
        manifest["spec"]["artifact"]["digest"] = digest
        metrics = {"val_f1": metric(f1, best=f1), "loss": metric(0.4)}
        for summary in metrics.values():
            del summary["count"]
        self.create(
            manifest,
            {
                "phase": "Archived" if archived else "Ready",
                "registered": SINCE,
                "artifact": {"uri": "s3://assay/models/x/", "digest": digest, "files": 2, "bytes": 12_345_678},
                "provenance": {"parameters": {"depth": number - 20, "seed": 7}, "metrics": metrics},
                "conditions": [
                    condition("ArtifactVerified", "True", "2 files, 12345678 bytes"),
                    condition("ProvenanceVerified", "True", ""),
                    condition("Reproducible", "False", "the image's digest is not known"),
                ],
                **status,
            },
        )

    def alias(self, name: str, live: int, wanted: int, *, phase: str, **status: Any) -> None:
        """Create an alias of digits that points to a version since a while."""
        digest = registry.digest(str(live)[-1])
        bound = {
            "phase": phase,
            "observedGeneration": 1,
            "boundVersion": live,
            "boundDigest": digest,
            "boundAt": SINCE,
            "bindings": 1,
            "history": [{"version": live, "digest": digest, "from": SINCE, "actor": "walter", "reason": "first"}],
        }
        self.create(registry.model_alias("digits", name, wanted), {**bound, **status})

    def approve(self, number: int, user: str, identity: str = "1") -> None:
        """Have somebody approve a version for champion."""
        value = f"{registry.digest(str(number)[-1])} {user}"
        annotation = f"{KEY}{identity}={value}"
        self.kubectl("annotate", "mv", f"digits.v{number}", annotation, f"--as={user}", "--as-group=system:masters")

    def annotations(self, kind: str, name: str) -> dict[str, str]:
        """Return an object's annotations."""
        found: dict[str, str] = self.get(kind, name)["metadata"].get("annotations") or {}
        return found

    def get(self, kind: str, name: str) -> Raw:
        """Return an object."""
        found: Raw = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found


def condition(kind: str, status: str, message: str) -> Raw:
    """Return a condition as a status has it."""
    return {"type": kind, "status": status, "reason": "StandIn", "message": message, "lastTransitionTime": SINCE}


def policy(name: str, **spec: Any) -> Raw:
    """Return a PromotionPolicy for champion."""
    body = {"match": {"aliases": ["champion"]}, **spec}
    return {"apiVersion": "assay.dev/v1alpha1", "kind": "PromotionPolicy", "metadata": {"name": name}, "spec": body}


BETTER = {
    "name": "better",
    "expression": "current == null || candidate.metrics.val_f1.last >= current.metrics.val_f1.last",
}
UNMET = {
    "policy": "release",
    "requirement": "approvals",
    "met": False,
    "message": "needs 1 more approval for champion: has 1 of 2",
}


def fill(stand_in: ModelCache) -> ModelCache:
    """Versions 24 to 26 and one that is archived; champion is to move from 24 to 25, and waits for an approval."""
    stand_in.create(policy("release", approvals={"required": 2}, gates=[BETTER]))
    digits_3 = stand_in.run("digits-3", experiment="digits", objective={"metric": "val_f1", "direction": "maximize"})
    stand_in.version(23, 0.8, archived=True)
    stand_in.version(24, 0.91, digits_3, aliases=["champion"])
    stand_in.version(25, 0.93, digits_3)
    stand_in.version(26, 0.9)
    stand_in.approve(25, "rita")
    stand_in.alias(
        "champion",
        24,
        25,
        phase="Held",
        message=f"v25 is blocked: release: {UNMET['message']}",
        requirements=[
            UNMET,
            {"policy": "release", "requirement": "gate/better", "met": True},
            {"policy": "release", "requirement": "evidence/artifactVerified", "met": True},
            {"policy": "release", "requirement": "evidence/provenanceVerified", "met": True},
        ],
    )
    stand_in.alias("staging", 25, 25, phase="Bound")
    return stand_in


@pytest.fixture(scope="module")
def shown(governed: Cluster) -> Iterator[ModelCache]:
    """A registry that no test changes."""
    namespace = f"test-{secrets.token_hex(4)}"
    governed.create_namespace(namespace)
    yield fill(ModelCache(governed, namespace))
    governed.delete_namespace(namespace)


@pytest.fixture
def ask(shown: ModelCache) -> Assay:
    """`assay …` in that registry's namespace."""

    def command(*argv: str, stdin: str = "") -> Answer:
        environment = {"KUBECONFIG": str(shown.cluster.kubeconfig)}
        return run(*argv, "--namespace", shown.namespace, environment=environment, stdin=stdin)

    return command


@pytest.fixture
def stand_in(governed: Cluster, namespace: str) -> ModelCache:
    """A registry of the test's own, empty."""
    return ModelCache(governed, namespace)


@pytest.fixture
def digits(stand_in: ModelCache) -> ModelCache:
    """A registry of the test's own."""
    return fill(stand_in)


@pytest.fixture
def people(stand_in: ModelCache) -> ModelCache:
    """The personas of the attack tests, with their roles in the namespace."""
    stand_in.kubectl("apply", "--server-side", "--filename", str(PERSONAS))

    def asked() -> bool:
        return "yes" in stand_in.kubectl("auth", "can-i", "delete", "runs.assay.dev", "--as=almighty")

    wait_for("the roles to be in force", asked, seconds=30)
    return stand_in


def ageless(text: str) -> str:
    return AGE.sub("AGE", text)


# Lists


def test_models_are_listed_with_their_aliases(ask: Assay) -> None:
    golden.check("models", ageless(ask("models").out))
    (model,) = ask("models", "-o", "json").json()["items"]
    assert (model["model"], model["versions"], model["latest"]) == ("digits", 3, 26)
    assert [each["alias"] for each in model["aliases"]] == ["champion", "staging"]


def test_versions_are_listed_newest_first(ask: Assay) -> None:
    answer = ask("versions", "digits")
    golden.check("versions", ageless(answer.out))
    assert answer.err == "1 archived version not shown; --all shows them\n"
    golden.check("versions-wide", ageless(ask("versions", "digits", "-o", "wide", "--all").out))
    first = ask("versions", "digits", "-o", "json").json()["items"][0]
    assert (first["name"], first["objective"], first["result"]) == ("digits.v26", "val_f1", 0.9)
    head, *rows = ask("versions", "digits", "-o", "csv").lines
    assert head.startswith("VERSION,PHASE,ALIASES")
    assert len(rows) == 3


def test_an_unknown_model_gets_suggestions(ask: Assay) -> None:
    answer = ask("versions", "digit")
    assert answer.code == 3
    assert "did you mean digits?" in answer.err


# Why


def test_why_lists_met_and_unmet_requirements(ask: Assay) -> None:
    answer = ask("why", "digits.champion")
    assert answer.code == 6
    golden.check("why", answer.out)
    found = json.loads(ask("why", "digits@champion", "-o", "json").out)
    assert found["requirements"][0] == UNMET
    assert found["operator"]["current"] is True
    assert (found["live"], found["wanted"], found["met"]) == (24, 25, False)


def test_an_alias_at_its_requested_version_has_no_requirements(ask: Assay) -> None:
    assert ask("why", "digits.staging").out == (
        "digits.staging: v25 is live since 2026-03-02T10:00:00Z, moved by walter: first\n"
    )


def test_why_can_check_another_version(ask: Assay) -> None:
    answer = ask("why", "digits.champion", "--version", "26")
    assert answer.code == 6
    assert answer.out.startswith("digits.champion: v24 is live, v26 would be blocked\n")
    assert "candidate.metrics.val_f1.last is 0.9, current.metrics.val_f1.last is 0.91" in answer.out
    assert ask("why", "digits.champion", "--version", "24").code == 0
    assert "digits.v99 does not exist" in ask("why", "digits.champion", "--version", "99").out


def test_why_includes_changes_that_the_operator_has_not_processed(assay: Assay, digits: ModelCache) -> None:
    digits.approve(25, "rolf", "2")
    answer = assay("why", "digits.champion")
    assert answer.code == 0
    assert "v24 is live, v25 meets all requirements" in answer.out
    assert "The operator's status differs" in answer.out
    digits.kubectl("patch", "alias", "digits.champion", "--type=merge", "-p", '{"spec": {"version": 26}}')
    assert "The operator has not evaluated this yet" in assay("why", "digits.champion").out


def test_a_namespace_that_opts_out_needs_no_approval(assay: Assay, stand_in: ModelCache) -> None:
    stand_in.version(1, 0.9)
    assert assay("why", "digits.champion", "--version", "1").code == 6
    stand_in.cluster.kubectl("annotate", "namespace", stand_in.namespace, "assay.dev/open-by-default=true")
    answer = assay("why", "digits.champion", "--version", "1")
    assert (answer.code, answer.out) == (0, "digits.champion: nothing is bound, v1 would meet all requirements\n")


def test_an_unknown_alias_gets_suggestions(ask: Assay) -> None:
    answer = ask("why", "digits.champoin")
    assert answer.code == 3
    assert "did you mean digits.champion" in answer.err
    assert ask("why", "digits.v25").code == 2


# Approvals


def test_approve_shows_the_candidate_first(ask: Assay, shown: ModelCache) -> None:
    answer = ask("approve", "digits.v25", "--for", "champion", "-m", "RISK-12", "--dry-run", "--as=rolf", RITA[1])
    assert answer.code == 0, answer.err
    golden.check("approve", answer.out)
    assert list(shown.annotations("mv", "digits.v25")) == [f"{KEY}1"]


def test_an_approval_is_the_annotation_that_policies_read(assay: Assay, digits: ModelCache, people: ModelCache) -> None:
    answer = assay("approve", "digits.v24", "--for", "champion", "-m", "RISK-12\nsecond line", "--yes", "--as=rita")
    assert answer.code == 0, answer.err
    digest = registry.digest("4")
    assert digits.annotations("mv", "digits.v24") == {f"{KEY}rita": f"{digest} rita\nRISK-12\nsecond line"}
    # rita of the personas may read versions, and nothing else of Assay.
    assert "are not shown" in answer.err
    again = assay("approve", "digits.v24", "--for", "champion", "--yes", "--as=rita", "-o", "json").json()
    assert again["outcome"] == "already"
    assert again["annotation"]["value"] == f"{digest} rita\nRISK-12\nsecond line"


def test_approve_lists_unmet_requirements(assay: Assay, digits: ModelCache) -> None:
    answer = assay("approve", "digits.v26", "--for", "champion", "--yes", *RITA)
    last = "Unmet requirements: release: needs 1 more approval for champion: has 1 of 2; release: gate better "
    assert answer.lines[-2] == "digits.v26 approved for champion by rita"
    assert answer.lines[-1].startswith(last)
    answer = assay("approve", "digits.v25", "--for", "champion", "--yes", "--as=rolf", RITA[1])
    assert answer.lines[-1] == "All requirements are met."


def test_an_approval_can_be_renewed_with_another_reason(assay: Assay, digits: ModelCache) -> None:
    request = ("approve", "digits.v25", "--for", "champion", "--yes", "--again", *RITA)
    assert "must differ" in assay(*request).err
    assert assay(*request, "-m", "looked again").code == 0
    assert digits.annotations("mv", "digits.v25")[f"{KEY}1"].endswith(" rita\ngroups: system:masters\nlooked again")


def test_user_names_with_the_same_id_do_not_overwrite_each_other(
    assay: Assay, digits: ModelCache, people: ModelCache
) -> None:
    for user in ("rita of risk", "rita-of-risk", "ритa"):
        done = assay("approve", "digits.v24", "--for", "champion", "--yes", f"--as={user}", RITA[1])
        assert done.code == 0, done.err
    found = digits.annotations("mv", "digits.v24")
    ends = {key.removeprefix(KEY): value.partition(" ")[2] for key, value in found.items()}
    people_by_id = {"rita-of-risk": "rita of risk", "rita-of-risk-2": "rita-of-risk", "a": "ритa"}
    assert ends == {key: f"{user}\ngroups: system:masters" for key, user in people_by_id.items()}


def test_a_missing_right_to_approve_names_the_verb(assay: Assay, digits: ModelCache, people: ModelCache) -> None:
    answer = assay("approve", "digits.v25", "--for", "champion", "--yes", "--as=dora")
    assert answer.code == 4
    assert "dora may not approve for champion" in answer.err
    assert "the verb approve on aliases.assay.dev, resourceName champion or digits.champion" in answer.err
    assert "docs/personas.md" in answer.err
    assert "rita" not in answer.out


def test_without_a_terminal_approve_needs_yes(ask: Assay) -> None:
    answer = ask("approve", "digits.v25", "--for", "champion", stdin="y\n")
    assert (answer.code, answer.out) == (2, "")
    assert "use --yes to approve" in answer.err


@pytest.mark.parametrize(("typed", "code", "given"), [("y", 0, True), ("", 1, False)])
def test_on_a_terminal_approve_asks_for_confirmation(digits: ModelCache, typed: str, code: int, given: bool) -> None:
    person, terminal = pty.openpty()
    os.write(person, f"{typed}\n".encode())
    argv = ("approve", "digits.v24", "--for", "champion", "--namespace", digits.namespace, *RITA)
    done = subprocess.run(
        [str(Path(sys.executable).parent / "assay"), *argv],
        env={**os.environ, "KUBECONFIG": str(digits.cluster.kubeconfig)},
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    os.close(person)
    os.close(terminal)
    assert done.returncode == code, done.stderr
    assert "Approve digits.v24 for champion as rita? [y/N]" in done.stderr
    assert bool(digits.annotations("mv", "digits.v24")) == given


def test_invalid_approvals_are_refused(ask: Assay) -> None:
    assert ask("approve", "digits.champion", "--for", "champion", "--yes").code == 2
    assert ask("approve", "digits.v25", "--for", "digits.champion", "--yes").code == 2
    assert "did you mean digits.v2" in ask("approve", "digits.v27", "--for", "champion", "--yes").err
    answer = ask("approve", "digits.v23", "--for", "champion", "--dry-run")
    assert "warning: digits.v23 is archived and cannot be bound" in answer.err
    assert "invalid approval id" in ask("approve", "digits.v24", "--for", "champion", "--yes", "--id", "a b").err


def test_users_revoke_their_own_approvals(assay: Assay, digits: ModelCache, people: ModelCache) -> None:
    refused = assay("revoke", "digits.v25", "--for", "champion", "--as=rolf")
    assert refused.code == 3
    assert "digits.v25 has no approval for champion by rolf" in refused.err
    assert "rita (--id 1)" in refused.err
    refused = assay("revoke", "digits.v25", "--for", "champion", "--id", "1", "--as=rolf")
    assert refused.code == 4
    assert "the verb revoke" in refused.err
    dry = assay("revoke", "digits.v25", "--for", "champion", "--as=rita", "--dry-run")
    assert dry.lines == ["digits.v25: approval of rita for champion would be revoked (id 1)"]
    assert digits.annotations("mv", "digits.v25")
    done = assay("revoke", "digits.v25", "--for", "champion", "--as=rita", "-o", "json").json()
    assert (done["outcome"], done["live"]) == ("revoked", False)
    assert not digits.annotations("mv", "digits.v25")


def test_the_verb_revoke_allows_revoking_others_approvals_and_the_version_stays_live(
    assay: Assay, digits: ModelCache, people: ModelCache
) -> None:
    digits.approve(24, "rita")
    done = assay("revoke", "digits.v24", "--for", "champion", "--id", "1", "--as=walter")
    assert done.code == 0, done.err
    assert "digits.v24 stays live under champion" in done.err
    assert not digits.annotations("mv", "digits.v24")
