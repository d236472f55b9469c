"""One working day: what is typed, by whom, and what has to come of it.

A command may have `{name}` in it, for a time that a step before has noted when it was over.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from assay.cli.errors import NO, OK
from tests.sessions.stage import Stage


@dataclass(frozen=True)
class Step:
    """A command, why it is typed, its exit code, words that its output has to have, and what its end is noted as."""

    person: str
    prose: str
    command: str
    words: tuple[str, ...] = ()
    code: int = OK
    noted: str = ""


@dataclass(frozen=True)
class Part:
    """Some steps under one heading."""

    title: str
    prose: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Played:
    """A step as it was: with the command as typed, the exit code, and the screen in the end."""

    step: Step
    command: str
    code: int
    screen: str

    def troubles(self) -> list[str]:
        """Return what is not as the step wants it."""
        said = " ".join(self.screen.split())
        found = [f"{word!r} is not in its output" for word in self.step.words if word not in said]
        if self.code != self.step.code:
            found.insert(0, f"exit code {self.code}, not {self.step.code}")
        return found


@dataclass
class Player:
    """Plays steps, and keeps the times that they note."""

    stage: Stage
    times: dict[str, str] = field(default_factory=dict)

    def play(self, step: Step) -> Played:
        """Have a step's person type its command."""
        command = step.command.format_map(self.times)
        code, screen = self.stage.play(step.person, command)
        if step.noted:
            self.times[step.noted] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return Played(step, command, code, screen)


MORNING = Part(
    "A scientist's morning",
    "dora wants to improve on the live model. She works in the repository of the training script and has the role"
    " `assay-data-scientist`.",
    (
        Step(
            "dora",
            "She generates an Experiment from the script. The script's arguments become the search space, and the"
            " Git commit becomes the source.",
            "assay init train.py --image localhost/assay-quickstart:dev",
            ("experiment.yaml",),
        ),
        Step(
            "dora",
            "She limits the search to four runs, and has the best of them registered.",
            "sed -i -e 's/maxRuns: 10/maxRuns: 4/' -e 's/max: 4,/max: 3,/' \\\n"
            "  -e '/maxFailedRuns/a \\  register: {{model: digits, pick: best}}' experiment.yaml",
        ),
        Step(
            "dora",
            "`assay validate` reports mistakes before the cluster sees the manifest.",
            "assay validate experiment.yaml",
            ("1 object valid",),
        ),
        Step("dora", "", "kubectl apply -f experiment.yaml", ("experiment.assay.dev/digits created",)),
        Step(
            "dora",
            "`assay watch` updates in place until the experiment ends. This is its final state.",
            "assay watch digits",
            ("digits: Succeeded", "4/4", "best val_accuracy"),
        ),
        Step(
            "dora",
            "Which runs are good enough?",
            "assay runs -e digits --where 'metrics.val_accuracy.last > 0.9' --sort val_accuracy",
            ("learning_rate", "digits-0", "digits-1"),
        ),
        Step("dora", "What explains the difference?", "assay compare digits-0 digits-1", ("learning_rate",)),
        Step("dora", "", "assay curves digits-0 digits-1 --metric val_loss", ("val_loss",)),
        Step(
            "dora",
            "Is the result reproducible?",
            "assay rerun digits-0 --name digits-0-again --wait",
            ("Succeeded, reproduced",),
        ),
        Step(
            "dora",
            "Meanwhile the operator has registered the best run.",
            "assay versions digits",
            ("digits.v2", "digits.v1"),
        ),
    ),
)

APPROVAL = Part(
    "An approver's minute",
    "rita is the risk officer and has the role `assay-approver`. No version goes live without her approval.",
    (
        Step(
            "rita",
            "What does the new version need?",
            "assay why digits.champion --version 2",
            ("needs 1 more approval", "not-worse"),
            NO,
        ),
        Step(
            "rita",
            "Her approval covers exactly the bytes shown here, and carries her name.",
            "assay approve digits.v2 --for champion --yes -m 'better on every digit'",
            ("digits.v2 approved for champion by rita",),
        ),
    ),
)

DEPLOYMENT = Part(
    "A bad deploy",
    "walter is the release manager and has the role `assay-release-manager`.",
    (
        Step(
            "walter",
            "The command waits until every pod of the server has fetched and verified the new version.",
            "assay promote digits champion 2 -m 'the best so far'",
            ("v2 is live, served by Deployment digits",),
            noted="complaint",
        ),
        Step("walter", "", "assay models", ("champion=v2",)),
        Step(
            "walter",
            "Customers complain that the model is too slow. A rollback needs no approval.",
            "assay rollback digits champion -m 'twice the latency'",
            ("v1 replaces v2", "v1 is live, served by Deployment digits"),
        ),
    ),
)

AUDIT = Part(
    "An auditor's question",
    "Weeks later: which model was live at that moment, who approved it, and what was it made from? alex has the"
    " role `assay-auditor`.",
    (
        Step(
            "alex",
            "",
            "assay history digits.champion",
            ("RolledBack", "twice the latency", "rita"),
        ),
        Step(
            "alex",
            "",
            "assay history digits.champion --at {complaint}",
            ("pointed to v2", "approved by rita", "registered by dora"),
        ),
        Step(
            "alex",
            "The lineage leads to the code, the image and the parameters:",
            "assay lineage digits.v2",
            ("https://git.example.com/vision/digits", "digits-"),
        ),
        Step("alex", "Is the trail intact?", "assay audit verify", ("intact",)),
        Step(
            "alex",
            "alex exports the trail to a file. Anyone can check the file without access to the store. The head is sent "
            "separately: without it, nobody can tell whether the end of the file was cut off.",
            "assay audit export --to trail.jsonl --head head.txt",
            ("records, head",),
        ),
        Step("alex", "", "assay audit verify --from trail.jsonl --expect @head.txt", ("intact",)),
    ),
)

DAY = (MORNING, APPROVAL, DEPLOYMENT, AUDIT)
STEPS = tuple(step for part in DAY for step in part.steps)


def as_typed(step: Step) -> re.Pattern[str]:
    """Return what matches the step's command as it may have been typed, whatever the times were."""
    sample = step.command.format_map(_Times())
    return re.compile(re.escape(sample).replace(_Times.MARK, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"))


class _Times(dict[str, str]):
    MARK = "@@time@@"

    def __missing__(self, _: str) -> str:
        return self.MARK
