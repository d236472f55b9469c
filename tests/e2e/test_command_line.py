"""`assay` beside real pods: an experiment watched, logs followed, curves of what runs, and a run done again."""

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cli import conftest
from tests.cli.conftest import Answer
from tests.cluster.waiting import wait_for
from tests.objects import Objects, experiment, run

pytestmark = pytest.mark.e2e

Assay = Callable[..., Answer]
SOURCE = {"repository": "https://git.example.com/ml/digits", "revision": "3f2c0e" + "0" * 34}
STEPS = 12
TRAINING = f"""
for step in range({STEPS}):
    log(step=step, score=step / {STEPS} + float(os.environ['PARAM_lr']))
    print('step', step)
    while step == {STEPS // 2} and os.environ['ASSAY_RUN'] == 'sweep-0' and not os.path.exists('/tmp/go'):
        time.sleep(0.1)
"""
RESTARTED = """
again = os.path.exists('/assay/artifacts/first')
print('second' if again else 'first')
artifacts.joinpath('first').touch()
while not again and not os.path.exists('/tmp/go'):
    time.sleep(0.1)
time.sleep(2)  # whoever has made it has to see his own end
sys.exit(0 if again else 3)
"""


@pytest.fixture
def assay(objects: Objects) -> Assay:
    """`assay …` in the test's namespace, as the administrator."""
    environment = {"KUBECONFIG": str(objects.cluster.kubeconfig), **objects.cluster.store.environment()}
    return lambda *argv: conftest.run_process(*argv, "-n", objects.namespace, environment=environment)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """For commands that go on beside the test."""
    with ThreadPoolExecutor(3) as found:
        yield found


def test_an_experiment_is_watched_and_its_runs_are_inspected(
    objects: Objects, assay: Assay, pool: ThreadPoolExecutor
) -> None:
    manifest = experiment("sweep", TRAINING, parameters=[{"name": "lr", "values": [0.1, 0.2]}], parallelism=2)
    manifest["spec"]["template"] |= {"source": SOURCE, "seed": 7}
    objects.apply(manifest)
    watched = pool.submit(assay, "watch", "sweep")
    pod = objects.wait_phase("run", "sweep-0", "Running")["status"]["attempts"][-1]["pod"]
    logs = pool.submit(assay, "logs", "sweep-0", "-f")

    streamed = wait_for(
        "points of the run that is still running", lambda: _steps(assay("curves", "sweep-0", "-o", "json"))
    )
    assert streamed == [*range(STEPS // 2 + 1)]
    assert assay("top").lines[1].split()[0] == "sweep-0"
    objects.kubectl("exec", pod, "-c", "train", "--", "touch", "/tmp/go")

    assert logs.result(120).out == "".join(f"step {step}\n" for step in range(STEPS))
    seen = watched.result(120)
    assert seen.code == 0, seen
    assert seen.lines[-1] == "sweep: Succeeded, 2 of 2 runs succeeded"
    assert any("1 running" in line or "2 running" in line for line in seen.lines)
    assert "best score 1.11667 (sweep-1: lr 0.2)" in seen.lines[-2]

    assert _steps(assay("curves", "sweep-0", "-o", "json")) == [*range(STEPS)]
    assert assay("logs", "sweep-0").out == logs.result().out
    differences = assay("diff", "sweep-0", "sweep-1", "--kind", "parameters")
    assert (differences.code, "- spec.parameters.lr  0.1" in differences.out) == (6, True)
    again = assay("rerun", "sweep-0", "--wait")
    assert again.code == 0, again
    assert again.out.splitlines()[1].startswith("Succeeded, reproduced (MetricsAgree): all metrics (1) agree")


def _steps(answer: Answer) -> list[int]:
    return answer.json()["items"][0]["step"] if answer.code == 0 else []


def test_logs_are_followed_through_a_restart(objects: Objects, assay: Assay) -> None:
    manifest = run("restarted", RESTARTED, job={"backoffLimit": 3})
    manifest["spec"]["job"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    objects.apply(manifest)
    following = subprocess.Popen(
        [conftest.PROGRAM, "logs", "restarted", "--follow", "-n", objects.namespace],
        env={**os.environ, "KUBECONFIG": str(objects.cluster.kubeconfig)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "first\n"
    found = objects.get("run", "restarted")
    pod = found["status"]["attempts"][-1]["pod"]
    wait_for("the first start to be kept", lambda: any("/train/part-" in path for path in objects.stored(found)))
    objects.kubectl("exec", pod, "-c", "train", "--", "touch", "/tmp/go")
    assert following.communicate(timeout=120)[0] == "second\n"
    assert following.returncode == 0
    # While the pod is there its node is asked, and once it is gone the store.
    assert assay("logs", "restarted").out == "second\n"
    objects.wait_phase("run", "restarted", "Succeeded")
    objects.kubectl("delete", "pods", "--all")
    kept = assay("logs", "restarted", "--previous")
    assert (kept.out, "from the store" in kept.err) == ("first\n", True), kept
