"""`FakeProvider`: a controller for tests that carries managed resources out as Crossplane's providers do.

It keeps their contract with the cluster: conditions `Synced` and `Ready`, `status.atProvider`, the external name in its
annotation, a finalizer, references written back into `spec`, late initialisation, management policies, drift put right.
Instead of watching, it lists everything once in an interval, and takes on what has changed or is not done; what is
done it compares with the cloud every `poll` seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes.client.exceptions import ApiException
from tests.cluster.clouds.managed import (
    EXTERNAL_NAME,
    FINALIZER,
    POLICIES,
    CloudError,
    Managed,
    Manifest,
    Observation,
    Service,
)
from tests.cluster.clouds.objects import Objects

from asya_composer.kinds import Kind

_log = logging.getLogger("fake_provider")
_CONFLICT, _GONE = 409, 404


class NotYetError(Exception):
    """The object cannot be carried out as it is now; the text says why."""


class FakeProvider:
    """Carries out the objects of the kinds in `services`."""

    def __init__(
        self, objects: Objects, services: Mapping[Kind, Service], *, interval: float = 1.0, poll: float = 10.0
    ) -> None:
        self._objects, self._services, self._interval, self._poll = objects, dict(services), interval, poll
        self._stopping = threading.Event()
        self._done: dict[tuple[Kind, str, str], str] = {}
        self.polls = 0
        """How often everything was compared with the clouds."""
        self.writes = 0
        """How often something was created, changed or deleted at a cloud."""

    def run(self) -> None:
        """Look at everything again and again until `stop`; an API server that is away is waited for."""
        self._stopping.clear()
        due = 0.0
        while not self._stopping.wait(self._interval):
            if poll := time.monotonic() >= due:
                due = time.monotonic() + self._poll
            try:
                self.look(poll=poll)
            except (ApiException, OSError) as error:
                _log.warning("the API server: %r", error)

    def stop(self) -> None:
        """Let `run` end; may be called from a signal handler or another thread."""
        self._stopping.set()

    def look(self, *, poll: bool = True) -> None:
        """Take every object one step on; without `poll`, those only that are not done."""
        before, self._done = self._done, {}
        for kind, service in self._services.items():
            for managed in self._objects.all(kind):
                if self._stopping.is_set():
                    return
                key = kind, managed.namespace, managed.name
                if not poll and before.get(key) == managed.version:
                    self._done[key] = managed.version
                elif done := self._step(managed, service):
                    self._done[key] = done.version
        self.polls += poll

    def _step(self, managed: Managed, service: Service) -> Managed | None:
        """Return the object when nothing is left to do, as it is then."""
        if not managed.policies:
            return managed
        try:
            if managed.is_deleted:
                self._finish(managed, service)
                return None
            return self._reconcile(managed, service)
        except (CloudError, NotYetError) as error:
            self._tell(managed, synced=str(error))
        except ApiException as error:
            # Changed or deleted meanwhile: the next look sees how it is now.
            if error.status not in {_CONFLICT, _GONE}:
                raise
        return None

    def _finish(self, managed: Managed, service: Service) -> None:
        if FINALIZER not in managed.finalizers:
            return
        if managed.may("Delete") and managed.external_name is not None:
            self._tell(managed, ready=("False", "Deleting"))
            service.external.delete(managed)
            self.writes += 1
            if service.external.observe(managed) is not None:
                return
        self._objects.set_finalizers(managed, [each for each in managed.finalizers if each != FINALIZER])

    def _reconcile(self, managed: Managed, service: Service) -> Managed | None:
        if managed.policies not in POLICIES:
            raise NotYetError(f"management policies {sorted(managed.policies)} are not supported together")
        if not self._objects.has_config(managed):
            config = managed.manifest["spec"]["providerConfigRef"]["name"]
            raise NotYetError(f"connect failed: cannot get ClusterProviderConfig {config!r}")
        if service.named and managed.external_name is None:
            managed = self._name(managed, managed.name)
        managed = self._resolved(managed, service)
        if FINALIZER not in managed.finalizers:
            managed = self._objects.set_finalizers(managed, [*managed.finalizers, FINALIZER])
        found = service.external.observe(managed)
        if found is None:
            self._create(managed, service)
            return None
        return self._keep(managed, service, found)

    def _create(self, managed: Managed, service: Service) -> None:
        if not managed.may("Create"):
            raise NotYetError("observe failed: there is no such external resource, and it may not be created")
        self._tell(managed, ready=("False", "Creating"))
        name = service.external.create(managed)
        self.writes += 1
        _log.info("created %s %s/%s: %s", managed.kind.kind, managed.namespace, managed.name, name)
        if name != managed.external_name:
            managed = self._name(managed, name)
        found = service.external.observe(managed)
        if found is not None:
            self._keep(managed, service, found)

    def _keep(self, managed: Managed, service: Service, found: Observation) -> Managed | None:
        late = {name: value for name, value in found.late.items() if name not in managed.wanted}
        if late and managed.may("LateInitialize"):
            managed = self._objects.patch(managed, {"spec": {"forProvider": late}})
        managed = self._tell(managed, synced="", ready=("True", "Available"), at_provider=found.at_provider)
        if not found.as_wanted and managed.may("Update"):
            _log.info("update %s %s/%s", managed.kind.kind, managed.namespace, managed.name)
            service.external.update(managed)
            self.writes += 1
            return None
        return managed

    def _name(self, managed: Managed, external: str) -> Managed:
        return self._objects.patch(managed, {"metadata": {"annotations": {EXTERNAL_NAME: external}}})

    def _resolved(self, managed: Managed, service: Service) -> Managed:
        """Write what references mean into the fields that they stand for."""
        for reference in service.references:
            *outer, field = reference.path
            inside: Any = managed.wanted
            for name in outer:
                inside = inside.get(name, {})
            given = inside.get(f"{field}Ref")
            if given is None or field in inside:
                continue
            there = self._objects.get(reference.kind, given.get("namespace", managed.namespace), given["name"])
            value = None if there is None else reference.value_from(there)
            if value is None:
                what = f"{reference.kind.kind} {given['name']!r}"
                why = "is not there" if there is None else "is not known at the cloud yet"
                raise NotYetError(f"cannot resolve references: {'.'.join(reference.path)}: {what} {why}")
            change: Manifest = {field: value}
            for name in reversed(outer):
                change = {name: change}
            managed = self._objects.patch(managed, {"spec": {"forProvider": change}})
        return managed

    def _tell(
        self,
        managed: Managed,
        *,
        synced: str | None = None,
        ready: tuple[str, str] | None = None,
        at_provider: Manifest | None = None,
    ) -> Managed:
        """Write the status. `synced`: what went wrong, or nothing. What is not given stays as it was."""
        old = managed.manifest.get("status", {})
        there = {each["type"]: each for each in old.get("conditions", ())}
        told = []
        if synced:
            told.append({**_condition("Synced", "False", "ReconcileError"), "message": synced})
        elif synced is not None:
            told.append(_condition("Synced", "True", "ReconcileSuccess"))
        if ready is not None:
            told.append(_condition("Ready", *ready))
        for each in told:
            before = there.get(each["type"], {})
            if {**before, "lastTransitionTime": ""} != {**each, "lastTransitionTime": ""}:
                there[each["type"]] = each
        status: Manifest = {**old, "conditions": list(there.values())}
        if at_provider is not None:
            status["atProvider"] = at_provider
        return self._objects.set_status(managed, status)


def _condition(kind: str, status: str, reason: str) -> Manifest:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": now}
