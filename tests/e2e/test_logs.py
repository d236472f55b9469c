"""The logs of a run: every line of every container of every pod, once, whatever becomes of pod and operator."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.store import logs
from assay.store.layout import LogName
from tests import operators
from tests.cluster.local import LocalCluster
from tests.cluster.paths import INSIDE
from tests.cluster.waiting import wait_for
from tests.objects import TRAINING_IMAGE, Objects, Raw, condition, run
from tests.operators import OperatorProcess

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def operator_process(
    installed: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[operators.OperatorProcess]:
    """The operator, with an eye on logs that is quick enough for a test."""
    log: Path = tmp_path_factory.mktemp("operator") / "operator.log"
    with operators.OperatorProcess(installed, log, {"ASSAY_LOG_SECONDS": "1"}) as process:
        yield process


def lines(objects: Objects, found: Raw, pod: str = "", container: str = "train", attempt: int = 0) -> list[str]:
    """The kept lines of a container's log; of the newest pod by default."""
    name = LogName(pod or found["status"]["attempts"][-1]["pod"], container, attempt)
    return [line.text for line in logs.read_log(objects.store, objects.prefix(found), name)]


def ended(objects: Objects, name: str, phase: str, seconds: float = 120) -> Raw:
    """Wait for the end of a run; every file of its logs is in its manifest then, and nothing is missing."""
    found = objects.wait_phase("run", name, "Succeeded", "Failed", seconds=seconds)
    assert found["status"]["phase"] == phase, found["status"]
    manifest = objects.read_json(found, "manifest.json")
    listed = {entry["path"] for entry in manifest["files"]}
    stored = {path for path in objects.stored(found) if path.startswith("logs/")}
    assert stored
    assert stored <= listed
    assert manifest["missing"] == []
    return found


def test_log_of_an_oom_killed_pod_is_in_the_store(objects: Objects) -> None:
    manifest = run("hungry", "print('loading')\nblock = bytearray(400 << 20)\nprint('never')\ntime.sleep(60)")
    container = manifest["spec"]["job"]["template"]["spec"]["containers"][0]
    container["resources"]["limits"] = {"memory": "64Mi"}
    objects.apply(manifest)
    found = ended(objects, "hungry", "Failed")
    assert found["status"]["reason"] == "OOMKilled"
    assert lines(objects, found) == ["loading"]


def test_retried_run_keeps_the_logs_of_both_pods_and_of_its_init_containers(objects: Objects) -> None:
    script = """
        print('attempt of', os.environ['HOSTNAME'], file=sys.stderr)
        if not os.path.exists('/shared/second'):
            open('/shared/second', 'w').close()
            raise RuntimeError('boom')
    """
    manifest = run("retried", script, job={"backoffLimit": 2})
    spec = manifest["spec"]["job"]["template"]["spec"]
    spec["volumes"] = [objects.shared_volume("shared")]
    spec["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    spec["securityContext"] = {"runAsUser": 0, "runAsNonRoot": False}
    spec["initContainers"] = [
        {"name": "prepare", "image": TRAINING_IMAGE, "command": ["python", "-c", "print('prepared', end='')"]}
    ]
    objects.apply(manifest)
    found = ended(objects, "retried", "Succeeded")
    first, second = (attempt["pod"] for attempt in found["status"]["attempts"])
    assert lines(objects, found, first)[0] == f"attempt of {first}"
    assert lines(objects, found, first)[-1] == "RuntimeError: boom"
    assert lines(objects, found, second) == [f"attempt of {second}"]
    assert lines(objects, found, first, "prepare") == lines(objects, found, second, "prepare") == ["prepared"]
    assert "the record is complete" in lines(objects, found, second, "assay-recorder")[-1]


def test_restarted_container_has_a_log_for_each_start(objects: Objects) -> None:
    # A node removes the log of a container's first start as soon as the second one ends.
    script = """
        again = os.path.exists('/assay/artifacts/first')
        print('second' if again else 'first')
        artifacts.joinpath('first').touch()
        while again and not os.path.exists('/assay/artifacts/go'):
            time.sleep(0.1)
        sys.exit(0 if again else 3)
    """
    manifest = run("restarted", script, job={"backoffLimit": 3})
    manifest["spec"]["job"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    objects.apply(manifest)
    started = objects.wait_phase("run", "restarted", "Running")
    wait_for("a log of the first start", lambda: lines(objects, started) == ["first"])
    pod = started["status"]["attempts"][-1]["pod"]
    # Until the second start runs, there is no container in which to execute anything.
    wait_for(
        "the second start",
        lambda: objects.kubectl("exec", pod, "-c", "train", "--", "touch", "/assay/artifacts/go") is not None,
    )
    found = ended(objects, "restarted", "Succeeded")
    assert lines(objects, found) == ["first"]
    assert lines(objects, found, attempt=1) == ["second"]


def test_many_quick_lines_are_complete_and_in_order(objects: Objects) -> None:
    # More than the node keeps of a log, so that it is rotated in between.
    script = """
        for number in range(120_000):
            print(number, 'x' * 150)
            if number % 2000 == 0:
                time.sleep(0.25)
    """
    objects.apply(run("chatty", script))
    found = ended(objects, "chatty", "Succeeded")
    assert [int(line.split()[0]) for line in lines(objects, found)] == list(range(120_000))


def test_bursts_of_lines_and_endless_lines_are_stored(objects: Objects) -> None:
    script = """
        for number in range(20_000):
            print(number)
        for step in range(40):
            print(f'\\rstep {step} ' + '=' * 20_000, end='')
            time.sleep(0.1)
    """
    objects.apply(run("burst", script))
    found = ended(objects, "burst", "Succeeded")
    kept = lines(objects, found)
    bar = "".join(f"\rstep {step} " + "=" * 20_000 for step in range(40))
    assert kept[:20_000] == [str(number) for number in range(20_000)]
    assert kept[20_000:] == [bar]


@pytest.mark.chaos
def test_operator_killed_while_it_reads_loses_and_doubles_no_line(objects: Objects, operator: OperatorProcess) -> None:
    objects.apply(run("long", "for number in range(600):\n    print(number)\n    time.sleep(0.03)"))
    started = objects.wait_phase("run", "long", "Running")
    for parts in (2, 4, 6):
        wait_for(f"{parts} parts", lambda n=parts: len(_parts(objects, started)) >= n, seconds=60)
        operator.kill()
        operator.start()
    found = ended(objects, "long", "Succeeded")
    assert [int(line) for line in lines(objects, found)] == list(range(600))


def test_a_pod_deleted_while_running_keeps_its_last_log_lines(objects: Objects) -> None:
    script = """
        def stop(*_):
            print('told to stop')
            time.sleep(2)
            print('saved a checkpoint')
            sys.exit(143)
        signal.signal(signal.SIGTERM, stop)
        print('begun')
        time.sleep(300)
    """
    objects.apply(run("deleted", script))
    started = objects.wait_phase("run", "deleted", "Running")
    pod = started["status"]["attempts"][-1]["pod"]
    objects.wait("pod", pod, "it trains", lambda o: "running" in o["status"]["containerStatuses"][0]["state"])
    wait_for("its first line", lambda: "begun" in lines(objects, started), seconds=30)
    objects.kubectl("delete", "pod", pod, "--wait=false")
    found = objects.wait_phase("run", "deleted", "Failed")
    assert lines(objects, found, pod) == ["begun", "told to stop", "saved a checkpoint"]


def test_a_log_lost_by_the_node_is_reported_and_does_not_block_the_run(
    objects: Objects, installed: LocalCluster
) -> None:
    manifest = run("lost", "print('begun')\ntime.sleep(8)")
    objects.apply(manifest)
    started = objects.wait_phase("run", "lost", "Running")
    pod = started["status"]["attempts"][-1]["pod"]
    wait_for("its first line", lambda: "begun" in lines(objects, started), seconds=30)
    folder = f"{INSIDE}/pod-logs/{objects.namespace}_{pod}_{objects.get('pod', pod)['metadata']['uid']}/train"
    installed.exec_in_namespaces("rm", "-r", folder)
    found = objects.wait_phase("run", "lost", "Succeeded", "Failed")
    assert found["status"]["phase"] == "Succeeded", found["status"]
    assert lines(objects, found) == ["begun"]
    [missing] = objects.read_json(found, "manifest.json")["missing"]
    assert missing["path"] == f"logs/{pod}/train"
    # Some nodes make a new, empty log when they see that the old one is gone.
    assert re.match("the log cannot be read: .*no such file|the node rotated the log", missing["reason"])
    assert missing["reason"] in condition(found, "Recorded")["message"]


def _parts(objects: Objects, found: Raw) -> list[str]:
    return [path for path in objects.stored(found) if re.search(r"/train/part-", path)]
