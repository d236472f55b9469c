"""Reconcile a ModelAlias: bind the wanted version, or hold it and report why; roll back on request or on failure.

A binding has three steps: label the version, which fails if the version changed since it was judged; append the audit
record; write the status. After a crash, the next reconcile repeats them.
"""

from dataclasses import replace
from datetime import UTC, datetime

from assay.api import evidence, names
from assay.api.approvals import RollbackRequest, read_rollback
from assay.api.modelalias import Binding, ModelAliasSpec, ModelAliasStatus, ServingStatus, SetAside
from assay.api.objects import Raw
from assay.api.resources import MODEL_ALIASES, MODEL_VERSIONS
from assay.controllers import metrics
from assay.controllers.audit import events as audit_events
from assay.controllers.audit.events import Pointed
from assay.controllers.registry import rights, rules, signatures, versions
from assay.controllers.runtime import statuses
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.model_cache import key_of, version_place
from assay.controllers.runtime.parts import AliasParts
from assay.controllers.runtime.queue import Key, Requeue
from assay.controllers.runtime.tracking_cache import place
from assay.kube.errors import ApiError
from assay.planning.conditions import parse_time
from assay.planning.promotion import binding, followers, judging, pointers, views
from assay.planning.promotion.binding import Move
from assay.planning.promotion.judging import Live
from assay.planning.promotion.pointers import Past
from assay.planning.promotion.policies import AliasView, Requirement, Verdict, VersionView
from assay.planning.promotion.rules import Rules
from assay.store.audit import AuditEvent

#: Maximum delay in seconds before a held alias is judged again because of the time.
_LONGEST_WAIT = 3600.0
#: Delay in seconds before lapsed approvals are checked again: no watch reports a change of RBAC rights.
_RIGHTS_AGAIN = 60.0


async def reconcile(context: AliasParts, key: Key) -> None:
    """Reconcile one ModelAlias."""
    body = context.models.get(key)
    if body is None:
        return
    asked = (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_ROLLBACK)
    if body["metadata"].get("deletionTimestamp"):
        if asked is not None:
            await _Alias(context, body).decline("the alias is being deleted; create it again once it is gone")
        return
    alias = _Alias(context, body)
    if asked is not None:
        await alias.roll_back(asked)
        return
    if await alias.leave_what_fails():
        return
    if alias.spec.version == alias.status.bound_version or alias.is_set_aside:
        alias.note_rules()
        await alias.report(alias.status)
        return
    await alias.promote()


class _Alias:
    """One alias in one reconcile."""

    def __init__(self, context: AliasParts, body: Raw) -> None:
        self.context, self.body = context, body
        self.namespace, self.name = place(body)
        self.spec = ModelAliasSpec.model_validate(body["spec"])
        self.status = ModelAliasStatus.model_validate(body.get("status") or {})
        self.generation: int = body["metadata"]["generation"]
        self.view = AliasView(self.spec.model, self.spec.alias)
        if not self.status.bindings and not self.status.history:
            self.status = self.status.model_copy(update={"history": self._remembered()})

    @property
    def is_set_aside(self) -> bool:
        return binding.is_set_aside(self.status, self.spec.version, self.generation)

    def _remembered(self) -> list[Binding]:
        """Return the bindings of an earlier alias of this name."""
        created = parse_time(self.body["metadata"].get("creationTimestamp"))
        past = [
            Past(body["spec"]["version"], body["spec"]["artifact"]["digest"], versions.status_of(body).held)
            for body in self.context.models.versions_of(self.namespace, self.spec.model)
        ]
        deleted = self.context.models.histories_of(self.namespace, self.spec.model)
        return pointers.remembered(self.spec.alias, past, deleted, created) if created else []

    # Promotion

    async def promote(self) -> None:
        """Judge the wanted version by the current objects, and bind it or hold it."""
        candidate = await self._fresh(self.spec.version)
        if candidate is None:
            await self._hold(judging.missing(self.view, self.spec.version).requirements)
            return
        found = await rules.read(self.context.kube, self.namespace)
        view, judged, clock = await self._judge(candidate, found)
        metrics.POLICY_VERDICTS.labels("allowed" if judged.allowed else "held").inc()
        if not judged.allowed:
            await self._hold(judged.requirements, judged.warnings, candidate["spec"]["artifact"]["digest"])
            self._enqueue_at(judged, clock)
            if any(approval.lapsed for approval in view.approvals):
                self.context.queue.add(key_of(self.body), _RIGHTS_AGAIN)
            return
        remaining = self._calm(found, clock)
        if remaining:
            raise Requeue(remaining, "the policies changed a moment ago")
        actor = audit_events.moved_by(self.body)
        await self._bind(candidate, actor, self.spec.reason or "", warnings=judged.warnings, judged_by=found)

    def _calm(self, found: Rules, clock: datetime) -> float:
        """Return how many seconds the rules must stay unchanged before they release the alias."""
        calm = self.context.registry.calm
        return calm.remaining((self.namespace, self.name), found.asks(self.view), clock).total_seconds()

    def note_rules(self) -> None:
        """Note the rules of an alias that is not judged now: if they change before it is, it has to wait."""
        self._calm(rules.known(self.context.models, self.namespace), datetime.now(UTC))

    async def _fresh(self, version: int) -> Raw | None:
        """Return a version from the API server, with its approvals recorded; None if it does not exist."""
        _, name = version_place(self.namespace, self.spec.model, version)
        found = await self.context.kube.get(MODEL_VERSIONS, self.namespace, name)
        if found is None:
            return None
        self.context.ingest(found)
        if found["metadata"].get("deletionTimestamp"):
            return found
        return await versions.take_in_approvals(self.context, found)

    async def _judge(self, candidate: Raw, found: Rules) -> tuple[VersionView, Verdict, datetime]:
        clock = datetime.now(UTC)
        view = await rights.judged(self.context.kube, self.namespace, self.view, self._view(candidate))
        view = await self._with_signature(view, candidate, found)
        live, open_ = await self._live(), found.open_by_default
        judged = judging.judge(self.view, candidate, view, live, found.policies, clock, open_by_default=open_)
        self._calm(found, clock)
        return view, judged, clock

    async def _with_signature(self, view: VersionView, candidate: Raw, found: Rules) -> VersionView:
        """Verify the signature if a policy requires one, and return the view with the result."""
        if not any(evidence.SIGNED in policy.evidence for policy in found.matching(self.view)):
            return view
        why = await signatures.why_unsigned(self.context, candidate)
        signed = view.evidence - {evidence.SIGNED} if why else view.evidence | {evidence.SIGNED}
        return replace(view, evidence=signed, unsigned=why)

    def _view(self, body: Raw) -> VersionView:
        return views.version_view(body, versions.held_by(self.context.models, body))

    async def _live(self) -> Live | None:
        """Return the version that the alias points to; None if nothing is bound."""
        if self.status.bound_version is None:
            return None
        _, name = version_place(self.namespace, self.spec.model, self.status.bound_version)
        body = await self.context.kube.get(MODEL_VERSIONS, self.namespace, name)
        return Live(self.status.bound_version, None if body is None else self._view(body))

    async def _hold(
        self, requirements: tuple[Requirement, ...], warnings: tuple[str, ...] = (), digest: str | None = None
    ) -> None:
        held = binding.hold(self.status, requirements, warnings)
        missing = binding.unmet(held.requirements)
        if self.status.observed_generation != self.generation:
            unmet = [each.message for each in requirements if not each.met]
            event = audit_events.binding_refused(self.body, self.spec.version, digest, unmet, self.generation)
            await self.context.audit.record(event)
        await self.report(held)
        if missing != binding.unmet(self.status.requirements):
            self.context.events.post(self.body, names.HELD, f"v{self.spec.version}: {missing}")

    def _enqueue_at(self, judged: Verdict, clock: datetime) -> None:
        if judged.next_change is not None:
            delay = (judged.next_change - clock).total_seconds()
            self.context.queue.add(key_of(self.body), min(max(delay, 0.05), _LONGEST_WAIT))

    # Binding

    async def _bind(
        self,
        candidate: Raw,
        actor: str,
        reason: str,
        *,
        set_aside: SetAside | None = None,
        back: bool = False,
        warnings: tuple[str, ...] = (),
        judged_by: Rules | None = None,
    ) -> None:
        move = Move(
            version=candidate["spec"]["version"],
            digest=candidate["spec"]["artifact"]["digest"],
            actor=actor,
            reason=reason,
            at=now(),
            generation=self.generation,
        )
        bound = binding.bind(self.status, move, set_aside).model_copy(update={"warnings": list(warnings)})
        lock = self.context.registry.lock(self.namespace, self.spec.model)
        waits = lock.locked()
        async with lock:
            # While the store is slow, this takes as long. What no resourceVersion guards may have changed since.
            if waits and judged_by is not None and not (await self._judge(candidate, judged_by))[1].allowed:
                raise Requeue(0.05, "the verdict changed while the model was locked")
            await self._label(candidate)
            await self._check_unchanged()
            if judged_by is not None and await rules.read(self.context.kube, self.namespace) != judged_by:
                raise Requeue(0.05, "the policies changed since they were read")
            at = bound.bound_at or move.at
            event = self._moved(replace(move, at=at), bound.bindings, back=back, judged_by=judged_by)
            await self.context.audit.record(event)
            await self.report(bound)
        self.context.events.post(
            self.body,
            names.ROLLED_BACK if back else names.BOUND,
            f"v{move.version}, by {actor}" + (f": {reason}" if reason else ""),
        )
        for workload in self.context.models.followers(self.namespace, self.spec.model, self.spec.alias):
            self.context.queue.add(key_of(workload))
        for version in (self.status.bound_version, move.version):
            if version is not None:
                self.context.queue.add(
                    Key(names.MODEL_VERSION, *version_place(self.namespace, self.spec.model, version))
                )

    async def _check_unchanged(self) -> None:
        """Raise Requeue if the alias changed since it was read: the audit record must match the binding."""
        metadata = self.body["metadata"]
        found = await self.context.kube.get(MODEL_ALIASES, self.namespace, self.name)
        if found is None or found["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            if found is not None:
                self.context.ingest(found)
            raise Requeue(0.05, "the alias changed since it was read")

    def _moved(self, move: Move, number: int, *, back: bool, judged_by: Rules | None) -> AuditEvent:
        before = None
        if self.status.bound_version is not None:
            before = Pointed(self.status.bound_version, self.status.bound_digest or "")
        after = Pointed(move.version, move.digest)
        if not back:
            asked = judged_by.asks(self.view) if judged_by is not None else Rules((), open_by_default=False)
            event = audit_events.alias_bound(self.body, before, after, move.actor, move.reason, number, at=move.at)
            return audit_events.judged_by(event, asked.policies, open_by_default=asked.open_by_default)
        automatic = move.actor == self.context.settings.user
        return audit_events.rolled_back(
            self.body, before, after, move.actor, move.reason, number, automatic=automatic, at=move.at
        )

    async def _label(self, candidate: Raw) -> None:
        """Label the version. Raise Requeue if it changed since it was judged, for example by a revoked approval."""
        metadata = candidate["metadata"]
        guard = {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]}
        patch = {"metadata": {**guard, "labels": {names.LABEL_BOUND: "true", names.LABEL_TARGET: "true"}}}
        try:
            written = await self.context.kube.merge_patch(MODEL_VERSIONS, self.namespace, metadata["name"], patch)
        except ApiError as error:
            if error.status == 409:
                raise Requeue(0.05, "the version changed since it was read") from None
            raise
        if written is None:
            raise Requeue(0.05, "the version was deleted")
        self.context.ingest(written)

    # Rollback

    async def roll_back(self, asked: str) -> None:
        """Handle the request in ``assay.dev/rollback-requested``, and clear it.

        It sets the spec aside that the requester saw. A spec that was written later is judged in the next reconcile.
        """
        request = read_rollback(asked)
        if request is None:
            await self.decline(f"{names.ANNOTATION_ROLLBACK} is invalid: it must be '<version> <your username>'")
            return
        if request.version == self.status.bound_version and self._is_done(request):
            await self._clear_request()
            return
        candidate = await self._fresh(request.version)
        if candidate is None:
            await self.decline(f"there is no {self.spec.model}.v{request.version}")
            return
        judged = judging.judge_rollback(self.view, candidate, self._view(candidate))
        if not judged.allowed:
            await self.decline("; ".join(each.message for each in judged.requirements if not each.met))
            return
        why = f"rolled back from v{self.status.bound_version} to v{request.version} by {request.user}"
        why = f"{why}: {request.reason}" if request.reason else why
        aside = self._aside(names.ROLLED_BACK, why, request.version, request.generation)
        if request.version == self.status.bound_version:
            await self._stay(candidate, request, aside)
        else:
            await self._bind(candidate, request.user, request.reason, set_aside=aside, back=True)
        await self._clear_request()

    async def _stay(self, candidate: Raw, request: RollbackRequest, aside: SetAside) -> None:
        """Handle a rollback to the live version: keep it, and set the wanted version aside."""
        live = Pointed(request.version, candidate["spec"]["artifact"]["digest"])
        number = self.status.bindings
        event = audit_events.rolled_back(self.body, live, live, request.user, request.reason, number)
        event = event.model_copy(update={"event": f"{event.event}/stay"})
        await self.context.audit.record(event)
        await self.report(self.status.model_copy(update={"set_aside": aside}))

    def _is_done(self, request: RollbackRequest) -> bool:
        """Whether the latest binding already fulfils the request: a crash can occur before the request is cleared."""
        last = self.status.history[-1] if self.status.history else None
        return last is not None and last.actor == request.user[:512] and self.status.set_aside is not None

    def _aside(self, reason: str, message: str, target: int, generation: int | None = None) -> SetAside:
        """Return the version that the alias must not bind again until its spec changes.

        ``generation`` is that of the spec that is set aside. By default it is the current one.
        """
        at = self.generation if generation is None else min(generation, self.generation)
        wanted, live = self.spec.version, self.status.bound_version or self.spec.version
        left = live if reason == names.ROLLOUT_FAILED or wanted == target or at < self.generation else wanted
        return SetAside.model_validate(
            {"version": left, "generation": at, "reason": reason, "message": message[:1024], "at": now()}
        )

    async def decline(self, why: str) -> None:
        """Refuse the requested rollback: record it, post an event with the reason, and clear the request."""
        await self.context.audit.record(audit_events.rollback_refused(self.body, why))
        await self._clear_request()
        self.context.events.post(self.body, "RollbackRefused", why, warning=True)

    async def _clear_request(self) -> None:
        """Remove the annotation. Raise Requeue if the alias changed since it was read."""
        metadata = self.body["metadata"]
        guard = {"resourceVersion": metadata["resourceVersion"], "uid": metadata["uid"]}
        patch = {"metadata": {**guard, "annotations": {names.ANNOTATION_ROLLBACK: None}}}
        try:
            written = await self.context.kube.merge_patch(MODEL_ALIASES, self.namespace, self.name, patch)
        except ApiError as error:
            if error.status == 409:
                raise Requeue(0.05, "the alias changed since it was read") from None
            raise
        if written is not None:
            self.context.ingest(written)

    async def leave_what_fails(self) -> bool:
        """Roll back to the version that a follower served before, if its rollout of the live version failed.

        Return whether the alias was rolled back.
        """
        found = binding.way_back(self.status, self._followers())
        if found is None:
            return False
        failed, version = found
        candidate = await self._fresh(version)
        if candidate is None:
            self._cannot_go_back(f"v{version} does not exist any more")
            return False
        judged = judging.judge_rollback(self.view, candidate, self._view(candidate))
        if not judged.allowed:
            self._cannot_go_back("; ".join(each.message for each in judged.requirements if not each.met))
            return False
        why = f"v{self.status.bound_version} failed in {failed.kind} {failed.name}: {failed.message}"
        await self.context.audit.record(
            audit_events.alias_degraded(
                self.body,
                self.status.bound_version or self.spec.version,
                why,
                operator=self.context.settings.user,
            )
        )
        await self._bind(
            candidate,
            self.context.settings.user,
            why,
            set_aside=self._aside(names.ROLLOUT_FAILED, f"{why}; back to v{version}", version),
            back=True,
        )
        return True

    def _cannot_go_back(self, why: str) -> None:
        if self.status.phase != "Degraded":
            self.context.events.post(self.body, "CannotGoBack", why, warning=True)

    # Status

    def _followers(self) -> list[ServingStatus]:
        """Return the rollout status of each workload that follows the alias."""
        known = {(each.kind, each.name): each for each in self.status.serving}
        found = []
        for workload in self.context.models.followers(self.namespace, self.spec.model, self.spec.alias):
            kind, name = workload["kind"], workload["metadata"]["name"]
            before = known.get((kind, name)) or ServingStatus(kind=kind, name=name)
            rollout = self.context.registry.rollouts.get(key_of(workload))
            found.append(before if rollout is None else followers.status(before, rollout, self.status.bound_version))
        return found

    async def report(self, status: ModelAliasStatus) -> None:
        """Write the status, including the followers, if it changed."""
        serving = status.serving if status.bindings != self.status.bindings else self._followers()
        new = binding.summarise(status, self.spec.version, serving, generation=self.generation, now=now())
        written = await statuses.write(self.context.kube, MODEL_ALIASES, self.body, new.to_dict(), self.context.ingest)
        if written is None:
            raise Requeue(1.0, "the alias was deleted")
        self.context.ingest(written)
        self.body = written
