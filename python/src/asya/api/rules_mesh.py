"""Rules about the actor among others: its name, scaling, and what happens on failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asya.api.crossrule import (
    Broken,
    CrossRule,
    at,
    collect,
    entries,
    field_of_each,
    is_crew,
    mapping,
    number,
    seconds,
    twice,
)
from asya.api.workload import PODS_OWN
from asya.policy import format_duration, naming
from asya.policy.protection import DEFAULT_MAX_OPEN_FOR, DEFAULT_OPEN_FOR
from asya.policy.resiliency import DEFAULT_FIRST_DELAY, DEFAULT_MAX_INTERVAL

TERMINAL_ACTORS = naming.TERMINAL_ACTORS
CREW = (*TERMINAL_ACTORS, "x-pause", "x-resume", "x-join")
DEAD_LETTERS = "-dlq"
CLOUDS = ("sqs", "pubsub")
"""Transports at which a pod is who its service account is."""
_RESILIENCY = ("spec", "resiliency")
_POLICIES = (*_RESILIENCY, "policies")
_DESTINATIONS = (*_RESILIENCY, "destinations")
_SCALING = ("spec", "scaling")

RULES: list[CrossRule] = []
rule = collect(RULES)


@rule("An actor is called neither like the platform's crew (unless it carries the label asya.sh/crew) nor like a DLQ.")
def _names(document: Mapping[str, Any]) -> Broken:
    own = at(document, "spec").get("actor")
    path, name = (
        (("spec", "actor"), own) if own is not None else (("metadata", "name"), at(document, "metadata").get("name"))
    )
    if not isinstance(name, str):
        return
    if name in CREW and not is_crew(document):
        yield path, f"{name!r} is reserved for the platform's own actors ({', '.join(CREW)}); choose another name"
    # `dlq` itself too: with the public project's names, asya-a-b-dlq is its queue in `a-b` and the dead letters of `b`.
    if f"-{name}".endswith(DEAD_LETTERS):
        sentence = f"{name!r} is, or ends in, {DEAD_LETTERS[1:]}, which is how dead-letter queues are called"
        yield path, f"{sentence}; choose another name"


@rule("Image and handler are given, by the actor or a flavor, unless workloadRef names a workload.", whole=True)
def _image_and_handler(document: Mapping[str, Any]) -> Broken:
    spec = document.get("spec")
    if not isinstance(spec, Mapping) or "workloadRef" in spec:
        return
    if spec.get("image") is None:
        yield ("spec", "image"), "missing; expected an image such as my-model:1.4"
    if spec.get("handler") is None:
        yield ("spec", "handler"), "missing; expected module.function or module.Class.method"


@rule("workloadRef takes the place of image, handler and all that shapes pods.")
def _workload(document: Mapping[str, Any]) -> Broken:
    spec = at(document, "spec")
    for name in PODS_OWN:
        if "workloadRef" in spec and spec.get(name) is not None:
            yield ("spec", name), "counts only without workloadRef, whose pods do the work; give one of the two"


@rule("Where rights belong to a service account, workloadRef comes with the workload's.", whole=True)
def _workload_identity(document: Mapping[str, Any]) -> Broken:
    spec = at(document, "spec")
    transport = spec.get("transport")
    if "workloadRef" in spec and transport in CLOUDS and spec.get("serviceAccountName") is None:
        sentence = f"missing; expected the service account of the workload's pods, which gets the rights on {transport}"
        yield ("spec", "serviceAccountName"), sentence


@rule("A flavor is named once.")
def _flavors(document: Mapping[str, Any]) -> Broken:
    found = [(path, name) for path, name in entries(document, "spec", "flavors") if isinstance(name, str)]
    yield from twice(found, "flavor")


@rule("minReplicaCount is not above maxReplicaCount; idleReplicaCount is below minReplicaCount.", whole=True)
def _replicas(document: Mapping[str, Any]) -> Broken:
    scaling = at(document, *_SCALING)
    fewest, most = number(scaling, "minReplicaCount", 0), number(scaling, "maxReplicaCount", 10)
    if fewest is not None and most is not None and fewest > most >= 1:
        default = "" if "maxReplicaCount" in scaling else " (its default)"
        sentence = f"expected at most maxReplicaCount, which is {most}{default}, found {fewest}"
        yield (*_SCALING, "minReplicaCount"), sentence
    if scaling.get("idleReplicaCount") == 0 and fewest == 0:
        sentence = "expected a minReplicaCount above 0 beside it; with 0 the actor goes to zero anyway"
        yield (*_SCALING, "idleReplicaCount"), sentence


@rule("A formula has a target; target, activationTarget and metricType have a formula.", whole=True)
def _formula(document: Mapping[str, Any]) -> Broken:
    path = (*_SCALING, "advanced")
    advanced = at(document, *path)
    if "formula" in advanced and "target" not in advanced:
        yield (*path, "formula"), "needs target beside it, the value of the formula per replica"
    for name in ("target", "activationTarget", "metricType"):
        if name in advanced and "formula" not in advanced:
            yield (*path, name), "counts only with a formula, and there is none"


@rule("Additional triggers have names of their own, and none is called queue.")
def _triggers(document: Mapping[str, Any]) -> Broken:
    named = field_of_each(document, (*_SCALING, "additionalTriggers"), "name")
    yield from twice(named, "trigger")
    for path, name in named:
        if name == "queue":
            yield path, "'queue' is the name of our own trigger; choose another name"


@rule("The first delay has one spelling, and is not above the cap.", whole=True)
def _delays(document: Mapping[str, Any]) -> Broken:
    for name, value in at(document, *_POLICIES).items():
        path, policy = (*_POLICIES, name), mapping(value)
        if policy.get("initialDelay") is not None and policy.get("initialInterval") is not None:
            yield (*path, "initialInterval"), "is another spelling of initialDelay; give only one of the two"
        spelling = "initialInterval" if policy.get("initialInterval") is not None else "initialDelay"
        first = seconds(policy.get(spelling) or format_duration(DEFAULT_FIRST_DELAY))
        cap = seconds(policy.get("maxInterval", format_duration(DEFAULT_MAX_INTERVAL)))
        if first is not None and cap is not None and first > cap:
            field = spelling if policy.get(spelling) is not None else "maxInterval"
            sentence = f"the first delay, {format_duration(first)}, is longer than maxInterval, {format_duration(cap)}"
            yield (*path, field), sentence


@rule("A rule names a policy that exists.", whole=True)
def _policies(document: Mapping[str, Any]) -> Broken:
    policies = at(document, *_POLICIES)
    for path, name in field_of_each(document, ("spec", "resiliency", "rules"), "policy"):
        if name not in policies:
            yield path, f"no policy is called {name!r}; policies: {', '.join(policies) or 'none'}"


@rule("onExhausted names ordinary actors.")
def _exhausted(document: Mapping[str, Any]) -> Broken:
    for name in at(document, *_POLICIES):
        for path, actor in entries(document, *_POLICIES, name, "onExhausted"):
            if actor in TERMINAL_ACTORS:
                yield path, f"{actor!r} is where messages end by themselves; name an actor of yours, or leave it out"


@rule("A circuit is not open for longer than the most; minCalls has a failureRatio.", whole=True)
def _breakers(document: Mapping[str, Any]) -> Broken:
    paths = [_RESILIENCY, *((*_DESTINATIONS, name) for name in at(document, *_DESTINATIONS))]
    for path in ((*each, "circuitBreaker") for each in paths):
        breaker = at(document, *path)
        first = seconds(breaker.get("openFor", format_duration(DEFAULT_OPEN_FOR)))
        most = seconds(breaker.get("maxOpenFor", format_duration(DEFAULT_MAX_OPEN_FOR)))
        if first is not None and most is not None and first > most:
            field = "openFor" if "openFor" in breaker else "maxOpenFor"
            sentence = f"openFor, {format_duration(first)}, is longer than maxOpenFor, {format_duration(most)}"
            yield (*path, field), sentence
        if "minCalls" in breaker and breaker.get("failureRatio") is None:
            yield (*path, "minCalls"), "counts only with failureRatio, and there is none"


@rule("Destinations are ordinary actors, not the actor itself, each with a limit or a breaker.")
def _destinations(document: Mapping[str, Any]) -> Broken:
    own = at(document, "spec").get("actor", at(document, "metadata").get("name"))
    for name, protection in at(document, *_DESTINATIONS).items():
        path = (*_DESTINATIONS, name)
        if name in TERMINAL_ACTORS:
            yield path, f"{name!r} is where messages end by themselves, which nothing may hold up"
        elif name == own:
            yield path, "is this actor itself, whose own rateLimit and circuitBreaker are one level up"
        elif protection == {}:
            yield path, "expected rateLimit or circuitBreaker"


@rule("Messages held at once are at least as many as calls at once.")
def _prefetch(document: Mapping[str, Any]) -> Broken:
    sidecar = at(document, "spec", "sidecar")
    calls, held = number(sidecar, "concurrency", 1), number(sidecar, "prefetch", 10_000)
    if calls is not None and held is not None and held < calls:
        yield ("spec", "sidecar", "prefetch"), f"expected at least concurrency, which is {calls}, found {held}"
