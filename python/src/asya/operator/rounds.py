"""One round: look at all actors, work out what should be, apply what differs from the last round, tell people."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from asya.api.registry import NAME, Registry, read_registry
from asya.errors import AsyaError, ManifestError
from asya.operator import crew, diagnosis, finalizers, orphans, registry
from asya.operator.cluster import ClusterError, ConflictError, LeavingError
from asya.operator.events import Event, Regarding
from asya.operator.identity import Manifest, actor_name
from asya.operator.lasting import LastingEvents

log = logging.getLogger("asya.operator")


class Cluster(Protocol):
    """What a round needs of the API server; see `asya.operator.cluster.Cluster`."""

    def actors(self, namespace: str | None = None) -> list[Manifest] | None:
        """Return all actors."""

    def config_map(self, namespace: str, name: str) -> Manifest | None:
        """Return a ConfigMap."""

    def deployment(self, namespace: str, name: str) -> Manifest | None:
        """Return a Deployment."""

    def apply(self, manifest: Mapping[str, Any]) -> Manifest:
        """Apply an object."""

    def tell(self, event: Event) -> None:
        """Post an event."""

    def pods(self, namespace: str) -> Iterator[Manifest]:
        """Yield the Pods of a namespace's actors."""

    def put(self, event: Event, since: datetime, count: int) -> None:
        """Write an event under its name."""

    def take_back(self, event: Event) -> None:
        """Delete it."""

    def queues(self) -> list[Manifest]:
        """Return the metadata of all actors' Queue objects."""

    def has_event(self, of: Manifest, reason: str) -> bool:
        """Tell whether an object has an event of this reason."""

    def set_finalizers(self, queue: Manifest, finalizers: Sequence[str]) -> None:
        """Set the finalizers of a Queue object."""


class Broker(Protocol):
    """What a round needs of RabbitMQ; see `asya.operator.broker.Broker`."""

    def queues(self) -> list[orphans.Queue]:
        """Return all queues."""

    def remove(self, queue: str) -> None:
        """Remove a queue."""


class Rounds:
    """Rounds of one operator. They are called one after the other."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        platform: str,
        deployment: str | None = None,
        crew_config_map: str | None = None,
        crew_namespace: str | None = None,
        broker: Broker | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster, self._broker = cluster, broker
        self._platform, self._crew, self._crew_namespace = platform, crew_config_map, crew_namespace
        self._deployment = deployment
        self._owner: Manifest | None = None
        self._applied: dict[tuple[str, str, str], str] = {}
        self._told: set[tuple[Regarding, str, str]] = set()
        self._empty_queues: list[str] = []
        self._now, self._troubles = now, LastingEvents(cluster)

    def look(self, *, thoroughly: bool = False) -> bool:
        """Do one round; tell whether Pods are amiss or queues are leaving, so that the next should be soon.

        `thoroughly` applies what is unchanged, too, so that what others changed is seen.

        Raises:
            ClusterError: The API server does not tell what there is. What it refuses is told as an event.
        """
        actors = self._cluster.actors()
        if actors is None:
            log.info("the kind AsyncActor is not served yet")
            return False
        if thoroughly:
            self._applied.clear()
        before = registry.namespaces(self._registry())
        unowned = self._find_owner(thoroughly=thoroughly)
        manifests, events = registry.registries(actors, platform=self._platform, emptied=before, deployment=self._owner)
        members, more = self._wanted_crew(actors)
        there = {(actor["metadata"]["namespace"], actor["metadata"]["name"]) for actor in actors}
        for manifest in [*members, *manifests]:
            more += self._apply(manifest, there)
        leaving, stuck = self._let_go()
        self._tell([*unowned, *events, *more, *stuck])
        return self._diagnose(actors) or leaving

    def sweep(self) -> list[str]:
        """Remove queues of deleted actors that were empty in the sweep before, too; return their names.

        Raises:
            AsyaError: The API server or the broker does not answer.
        """
        if self._broker is None:
            return []
        queues = self._broker.queues()
        # Asked after the queues: an actor that is made meanwhile keeps its queue.
        actors = self._cluster.actors()
        if actors is None:
            # Without its kind nobody can tell which actors there were.
            self._empty_queues = []
            return []
        known = {(actor["metadata"]["namespace"], actor_name(actor)) for actor in actors}
        gone = orphans.orphans(queues, known, self._empty_queues)
        for name in gone:
            self._broker.remove(name)
            log.info("removed the empty queue %s: its actor is gone", name)
        self._empty_queues = orphans.candidates(queues, known)
        return gone

    def _let_go(self) -> tuple[bool, list[Event]]:
        """Take the finalizer off Queue objects whose queue is deleted; tell whether there are some that may be soon."""
        try:
            leaving = finalizers.leaving(self._cluster.queues())
        except ClusterError as error:
            log.warning("Queue objects cannot be listed: %s", error)
            return False, []
        events: list[Event] = []
        for queue in leaving:
            about = Regarding.of(queue)
            try:
                gone = finalizers.is_late(queue, self._now()) and self._cluster.has_event(queue, finalizers.DELETED)
                if gone:
                    self._cluster.set_finalizers(queue, finalizers.released(queue))
                    log.info("let go of Queue %s in %s: its queue is deleted", about.name, about.namespace)
            except ConflictError:
                continue  # written by somebody just now; it is read again the next time
            except ClusterError as error:
                text = f"The queue is deleted, and its object stays: {error}"
                events.append(Event(about, "QueueObjectStays", text))
        return bool(leaving), events

    def _diagnose(self, actors: Collection[Mapping[str, Any]]) -> bool:
        """Show why Pods do not run. Where all are there, none is asked for, unless something was wrong there."""
        unready = {actor["metadata"]["namespace"] for actor in actors if diagnosis.is_unready(actor)}
        pods = (pod for place in sorted(unready | self._troubles.namespaces()) for pod in self._cluster.pods(place))
        now = self._now()
        self._troubles.show(diagnosis.diagnose(actors, pods, now), now)
        return bool(unready)

    def _registry(self) -> Registry:
        found = self._cluster.config_map(self._platform, NAME)
        try:
            return Registry() if found is None else read_registry(found)
        except ManifestError as error:
            log.warning("the registry is written anew: %s", error)
            return Registry()

    def _find_owner(self, *, thoroughly: bool) -> list[Event]:
        if self._deployment is None or (self._owner is not None and not thoroughly):
            return []
        try:
            found = self._cluster.deployment(self._platform, self._deployment)
        except ClusterError as error:
            why = str(error)
        else:
            if found is not None:
                self._owner = found
                return []
            why = "there is none"
        regarding = Regarding("v1", "ConfigMap", self._platform, NAME)
        text = f"The registry stays when the operator is uninstalled: Deployment {self._deployment}: {why}"
        return [Event(regarding, "RegistryStays", text)]

    def _wanted_crew(self, actors: Iterable[Mapping[str, Any]]) -> tuple[list[Manifest], list[Event]]:
        if self._crew is None:
            return [], []
        regarding = Regarding("v1", "ConfigMap", self._platform, self._crew)
        config_map = self._cluster.config_map(self._platform, self._crew)
        if config_map is None:
            text = f"There is no ConfigMap {self._crew}, so no crew is applied. Install chart asya-crew."
            return [], [Event(regarding, "CrewMissing", text)]
        try:
            members = crew.read(config_map)
        except ManifestError as error:
            return [], [Event(regarding, "CrewUnreadable", f"No crew is applied: {error}")]
        return crew.wanted(members, actors, self._crew_namespace)

    def _apply(self, manifest: Manifest, there: Collection[tuple[str, str]]) -> list[Event]:
        about = Regarding.of(manifest)
        key, content = (about.kind, about.namespace, about.name), json.dumps(manifest, sort_keys=True)
        if self._applied.get(key) == content:
            return []
        try:
            applied = self._cluster.apply(manifest)
        except LeavingError:
            return []
        except ConflictError as error:
            return [Event(about, "FieldsOfSomebodyElse", f"{about.kind} {about.name} is not updated: {error}")]
        except ClusterError as error:
            return [Event(about, "NotApplied", f"{about.kind} {about.name} could not be applied: {error}")]
        self._applied[key] = content
        if about.kind == crew.KIND and (about.namespace, about.name) not in there:
            text = f"{about.name} belongs to the platform's crew; it was applied because there are actors to serve."
            return [Event(Regarding.of(applied), "CrewApplied", text, kind="Normal")]
        return []

    def _tell(self, events: Iterable[Event]) -> None:
        """Post what was not so in the round before: nothing is repeated while it lasts."""
        now = {(event.regarding, event.reason, event.message): event for event in events}
        for key, event in now.items():
            if key in self._told:
                continue
            log.log(logging.WARNING if event.kind == "Warning" else logging.INFO, "%s: %s", event.reason, event.message)
            try:
                self._cluster.tell(event)
            except AsyaError as error:
                log.warning("the event could not be posted: %s", error)
        self._told = set(now)
