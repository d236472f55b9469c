"""In-memory cache of experiments, runs, Jobs and pods, filled from watches.

It keeps full objects only for experiments and for unfinished runs, and only facts for everything else. It is filled
before the first reconcile and rebuilt from the API after a restart, so nothing in it is persisted.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import TERMINAL
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.seen_versions import SeenVersions
from assay.planning.runs.facts import JobFacts, PodFacts, RunFacts, controller_uid, job_facts, pod_facts, run_facts
from assay.planning.runs.retention import EndedRun, ended_run
from assay.planning.search import belonging

Place = tuple[str, str]


def place(body: Raw) -> Place:
    """Return (namespace, name) of an object."""
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _run_of(child: Raw) -> Place | None:
    """Return (namespace, UID) of the Run that a Job or pod claims to belong to.

    The claim alone does not count: only the Job that the operator created counts, and only the pods that it controls.
    """
    metadata = child["metadata"]
    uid = str((metadata.get("labels") or {}).get(names.LABEL_RUN_UID, ""))
    return (metadata["namespace"], uid) if uid else None


def _identity_of(run: Raw) -> Place:
    return run["metadata"]["namespace"], run["metadata"]["uid"]


def run_key(child: Raw) -> Key:
    """Return the key of the Run that a Job or pod belongs to."""
    return Key(names.RUN, child["metadata"]["namespace"], child["metadata"]["labels"].get(names.LABEL_RUN, ""))


class TrackingCache:
    """Objects by place or UID. All methods are cheap and synchronous; there is only one event loop."""

    def __init__(self) -> None:
        self.experiments: dict[Place, Raw] = {}
        self.experiments_by_uid: dict[str, Raw] = {}
        #: Unfinished runs, and ended runs that still have credentials.
        self.active_runs: dict[Place, Raw] = {}
        #: Ended runs that need no more work, by UID.
        self.ended_runs: dict[str, EndedRun] = {}
        #: Runs that were deleted before they ended, until their records are closed.
        self.deleted_runs: dict[str, Raw] = {}
        self._phases: dict[str, str] = {}
        self._identities: dict[str, dict[str, Raw]] = {names.RUN: {}, "Job": {}, "Pod": {}}
        self._seen = SeenVersions()
        #: By UID of the Run: its newest pod, and the time of that pod's last recorder report.
        self._heard: dict[str, tuple[str, datetime]] = {}
        self._runs: defaultdict[str, dict[str, RunFacts]] = defaultdict(dict)
        #: By UID of the Run: the UID of the Experiment that it was created for.
        self._experiment_of: dict[str, str] = {}
        #: By UID of the Run: the UID of the Job that the operator created, from a status or a create response.
        self._made: dict[str, str] = {}
        #: By namespace and UID of the Run, then by UID of the Job: all Jobs that claim to belong to that run.
        self._jobs: defaultdict[Place, dict[str, JobFacts]] = defaultdict(dict)
        self._pods: defaultdict[Place, dict[str, PodFacts]] = defaultdict(dict)

    # Experiments and runs

    def upsert_experiment(self, body: Raw) -> bool:
        """Upsert an Experiment; return False if this version is not new."""
        if not self._seen.is_news(body):
            return False
        self.experiments[place(body)] = body
        self.experiments_by_uid[body["metadata"]["uid"]] = body
        return True

    def forget_experiment(self, body: Raw) -> None:
        """Remove a deleted Experiment."""
        self._seen.forget(body["metadata"]["uid"])
        self.experiments_by_uid.pop(body["metadata"]["uid"], None)
        known = self.experiments.get(place(body))
        if known and known["metadata"]["uid"] == body["metadata"]["uid"]:
            del self.experiments[place(body)]

    def upsert_run(self, body: Raw) -> bool:
        """Upsert a Run; return False if this version is not new."""
        if not self._seen.is_news(body):
            return False
        uid, facts = body["metadata"]["uid"], run_facts(body)
        self._identities[names.RUN][uid] = _identity(body)
        if made := (body.get("status") or {}).get("jobUid"):
            self._made[uid] = made
        experiment = self._owner_of(body)
        self._runs[experiment][uid] = facts
        self._phases[uid] = facts.phase
        ended = ended_run(body, experiment)
        if ended is not None:
            self.ended_runs[uid] = ended
        if facts.phase in TERMINAL:
            self._heard.pop(uid, None)
        if facts.phase in TERMINAL and not (body.get("status") or {}).get("credentials"):
            self.active_runs.pop(place(body), None)
        else:
            self.active_runs[place(body)] = body
        return True

    def forget_run(self, body: Raw) -> None:
        """Remove a deleted Run. An unfinished one stays in ``deleted_runs`` until its record is closed."""
        uid = body["metadata"]["uid"]
        self._identities[names.RUN].pop(uid, None)
        self._runs[self._experiment_of.pop(uid, "")].pop(uid, None)
        self.ended_runs.pop(uid, None)
        phase = self._phases.pop(uid, None)
        self._heard.pop(uid, None)
        self._seen.forget(uid)
        known = self.active_runs.get(place(body))
        if known and known["metadata"]["uid"] == uid:
            del self.active_runs[place(body)]
        if phase is not None and phase not in TERMINAL:
            self.deleted_runs[uid] = body
        elif uid not in self.deleted_runs:
            self._made.pop(uid, None)

    def close_run(self, uid: str) -> None:
        """Remove a deleted Run whose record is closed."""
        self.deleted_runs.pop(uid, None)
        self._made.pop(uid, None)

    # Ownership

    def made(self, run: Raw, experiment: Raw) -> None:
        """Note that the operator has just created a Run for an Experiment."""
        self._experiment_of[run["metadata"]["uid"]] = experiment["metadata"]["uid"]

    def experiment_uid(self, run: Raw) -> str:
        """Return the UID of the Experiment that a Run was created for; "" for a standalone run."""
        return self._experiment_of.get(run["metadata"]["uid"], "")

    def experiment_of(self, run: Raw) -> Raw | None:
        """Return the Experiment that a Run was created for; None if there is none or it is not cached."""
        return self.experiments_by_uid.get(self.experiment_uid(run))

    def _owner_of(self, run: Raw) -> str:
        """Return the UID of the Experiment that a Run was created for. Once determined, it never changes."""
        uid = run["metadata"]["uid"]
        if uid not in self._experiment_of:
            claimed = belonging.claimed_experiment(run)
            # The operator wrote the status, so it is trusted even if the experiment is gone.
            noted = bool((run.get("status") or {}).get("experimentUid"))
            known = self.experiments_by_uid.get(claimed)
            if claimed and ((noted and known is None) or belonging.belongs(run, known)):
                self._experiment_of[uid] = claimed
        return self._experiment_of.get(uid, "")

    def launched(self, run: Raw, job: Raw) -> None:
        """Upsert a Job that the operator has just created for a Run."""
        self._made[run["metadata"]["uid"]] = job["metadata"]["uid"]
        self.upsert_job(job)

    def abandon_job(self, run: Raw) -> None:
        """Forget which Job belongs to a Run, so that another one is created."""
        self._made.pop(run["metadata"]["uid"], None)

    def record_report(self, run: Raw, pod: str, said: datetime | None, now: datetime) -> None:
        """Note the time of the last report of the recorder in a Run's newest pod; None if no report can be read.

        Until its first report, a recorder counts from the first request. Times ahead of our clock are capped.
        """
        heard_of, known = self._heard.get(run["metadata"]["uid"], ("", now))
        since = known if heard_of == pod else now
        self._heard[run["metadata"]["uid"]] = pod, min(said, now) if said else since

    def last_report(self, run: Raw, pod: str) -> datetime | None:
        """Return the time of the last report of a pod's recorder; None if nobody has requested one."""
        heard_of, known = self._heard.get(run["metadata"]["uid"], ("", None))
        return known if heard_of == pod else None

    def runs_of(self, experiment: str, but: Collection[str] = ()) -> list[RunFacts]:
        """Return the facts of all Runs of an Experiment, given its UID, except the UIDs in ``but``."""
        return [facts for uid, facts in self._runs.get(experiment, {}).items() if uid not in but]

    def has_run(self, experiment: str, uid: str) -> bool:
        """Whether a Run of an Experiment still exists, according to the cache."""
        return uid in self._runs.get(experiment, {})

    def exists(self, run: Raw) -> bool:
        """Whether a Run still exists, according to the cache."""
        return run["metadata"]["uid"] in self._phases

    def forget_experiment_runs(self, experiment: str) -> None:
        """Drop the empty table of a deleted experiment."""
        if not self._runs.get(experiment):
            self._runs.pop(experiment, None)

    def phases(self) -> list[str]:
        """Return the phases of all Runs, for the metrics."""
        return list(self._phases.values())

    def known(self, kind: str) -> dict[str, Raw]:
        """Return all objects of a kind by UID; each body has at least its identity, that of an unfinished run all."""
        if kind == names.EXPERIMENT:
            return dict(self.experiments_by_uid)
        whole = self.active_runs.values() if kind == names.RUN else ()
        return self._identities[kind] | {run["metadata"]["uid"]: run for run in whole}

    # Children

    def upsert_job(self, body: Raw) -> bool:
        """Upsert a Job; return False if no relevant fact changed."""
        run = _run_of(body)
        if not run or controller_uid(body, names.RUN) != run[1] or not self._seen.is_news(body):
            return False
        facts, uid = job_facts(body), body["metadata"]["uid"]
        known = self._jobs[run].get(uid)
        self._identities["Job"][uid] = _identity(body)
        self._jobs[run][uid] = facts
        return facts != known

    def forget_job(self, body: Raw) -> None:
        """Remove a deleted Job."""
        uid, run = body["metadata"]["uid"], _run_of(body)
        self._seen.forget(uid)
        self._identities["Job"].pop(uid, None)
        if run and run in self._jobs:
            self._jobs[run].pop(uid, None)
            if not self._jobs[run]:
                del self._jobs[run]

    def job(self, run: Raw) -> JobFacts | None:
        """Return the Job that the operator created for a Run."""
        found = self._jobs.get(_identity_of(run)) or {}
        return found.get(self._made.get(run["metadata"]["uid"], ""))

    def upsert_pod(self, body: Raw) -> bool:
        """Upsert a pod; return False if no relevant fact changed."""
        run, name = _run_of(body), body["metadata"]["name"]
        if not run or not controller_uid(body, "Job") or not self._seen.is_news(body):
            return False
        facts, known = pod_facts(body), self._pods[run].get(name)
        self._identities["Pod"][body["metadata"]["uid"]] = _identity(body)
        self._pods[run][name] = facts
        return facts != known

    def forget_pod(self, body: Raw) -> None:
        """Remove a deleted pod."""
        self._seen.forget(body["metadata"]["uid"])
        self._identities["Pod"].pop(body["metadata"]["uid"], None)
        run = _run_of(body)
        pods = self._pods.get(run) if run else None
        if run and pods is not None:
            pods.pop(body["metadata"]["name"], None)
            if not pods:
                del self._pods[run]

    def pods(self, run: Raw) -> list[PodFacts]:
        """Return the pods of a Run in order of creation: those that the operator's Job controls."""
        found = self._pods.get(_identity_of(run)) or {}
        own = [pod for pod in found.values() if self._is_own(run, pod)]
        return sorted(own, key=lambda pod: (pod.created, pod.name))

    def pod(self, run: Raw, name: str) -> PodFacts | None:
        """Return one pod of a Run by name; None if the run has no such pod."""
        found = (self._pods.get(_identity_of(run)) or {}).get(name)
        return found if found and self._is_own(run, found) else None

    def _is_own(self, run: Raw, pod: PodFacts) -> bool:
        return bool(pod.owner) and pod.owner == self._made.get(run["metadata"]["uid"])


def _identity(body: Raw) -> Raw:
    """Return what the later removal of an object needs: its names, labels and owners."""
    metadata = body["metadata"]
    kept = ("namespace", "name", "uid", "ownerReferences", "resourceVersion")
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k.startswith(names.GROUP)}
    return {
        "kind": body.get("kind"),
        "apiVersion": body.get("apiVersion"),
        "metadata": {**{key: metadata[key] for key in kept if key in metadata}, "labels": labels},
    }
