"""The gRPC edge: a request into values, values into a response. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import grpc
from crossplane.function import resource, response
from crossplane.function.proto.v1 import run_function_pb2 as fnv1
from crossplane.function.proto.v1 import run_function_pb2_grpc as grpcv1
from google.protobuf import struct_pb2
from pydantic import ValidationError

from asya.api.paths import path_text
from asya.api.problems import findings
from asya.api.rules_mesh import TERMINAL_ACTORS
from asya_composer.compose import Composition, Found, compose, refuse
from asya_composer.composite import Claim, read
from asya_composer.conditions import FLAVOR_MISSING, REFUSED, all_is_well
from asya_composer.errors import CompositionError
from asya_composer.model import Condition, Manifest, Observed, Resource, Seen
from asya_composer.moving import LEFT, Old
from asya_composer.neighbours import Neighbour, Neighbourhood, workload_of
from asya_composer.objects import ACTOR
from asya_composer.requirements import (
    ACTORS,
    BOUND,
    CREW,
    ELSEWHERE,
    EVERYWHERE,
    EXCHANGE,
    RIVALS,
    Requirement,
    requirements,
)
from asya_composer.settings import SENTENCE, TRANSPORTS, Settings, TransportName
from asya_composer.structs import View, fill, plain, text

_WAITING_SECONDS, _LONG_WAITING_SECONDS = 10, 60
"""When Crossplane is to look again at an actor that waits for something, at the latest: at a young one, at others."""
_BIRTH_SECONDS = 300
_TRANSPORTS: Mapping[str, TransportName] = {name: name for name in TRANSPORTS}


class Runner(grpcv1.FunctionRunnerServiceServicer):
    """Composes one AsyncActor per call; keeps nothing between calls."""

    async def RunFunction(  # noqa: N802  the name is the protocol's
        self,
        request: fnv1.RunFunctionRequest,
        context: grpc.aio.ServicerContext[Any, Any] | None,  # noqa: ARG002  the protocol's
    ) -> fnv1.RunFunctionResponse:
        """Answer one request of Crossplane."""
        return run(request)


def run(request: fnv1.RunFunctionRequest) -> fnv1.RunFunctionResponse:
    """Answer a request.

    What cannot be composed leaves all that exists as it is, and `status` tells. A fatal result would leave `status` as
    it is too, with the generation that was looked at; so it is only for what is not even known to be an actor. (Source:
    Crossplane 2.3, composition_functions.go: a fatal result ends Compose before `status` is applied.)
    """
    return answered(request)[0]


def answered(request: fnv1.RunFunctionRequest) -> tuple[fnv1.RunFunctionResponse, Composition]:
    """Answer a request, and say what has been composed, also of what is left for later."""
    answer = response.to(request)
    composite = plain(request.observed.composite.resource)
    observed = {key: View(value.resource) for key, value in request.observed.resources.items()}
    claim, patience = None, _LONG_WAITING_SECONDS
    try:
        claim = read(composite)
        settings = _settings(request.input.SerializeToString(deterministic=True))
        patience = settings.look_again_seconds
        asked = requirements(claim, observed, settings)
        _require(answer, asked)
        composition = compose(claim, composite, observed, settings, _found(request, claim, asked), datetime.now(UTC))
    except CompositionError as error:
        composition = refuse(composite, observed, error)
        if claim is None:
            # Whoever looks at the answer sees that nothing shall change.
            _keep(answer, composition.resources)
            _tell(answer, composition.conditions)
            response.fatal(answer, str(error))
            return answer, composition
        answer.desired.composite.ready = fnv1.READY_FALSE
    _write(answer, composition)
    answer.meta.ttl.FromSeconds(_until_next_look(composition, composite, patience))
    _announce(answer, composite, composition.conditions)
    return answer, composition


@lru_cache(maxsize=8)
def _settings(serialized: bytes) -> Settings:
    """Read the composition's input, which is the same for all actors of a composition."""
    values = plain(struct_pb2.Struct.FromString(serialized))
    try:
        return Settings.model_validate(values, by_name=False, by_alias=True)
    except ValidationError as error:
        first, *_ = findings(error, values, Settings)
        told = error.errors(include_url=False)[0]
        if told["type"] == SENTENCE:
            raise CompositionError(f"composition input, {path_text(first.path)}", told["msg"]) from error
        raise CompositionError(f"composition input, {path_text(first.path)}", first.message) from error


def _require(answer: fnv1.RunFunctionResponse, asked: Mapping[str, Requirement]) -> None:
    for name, wanted in asked.items():
        response.require_resources(
            answer,
            name,
            wanted.kind.api_version,
            wanted.kind.kind,
            match_name=wanted.name,
            match_labels=None if wanted.labels is None else dict(wanted.labels),
            namespace=wanted.namespace,
        )


def _found(request: fnv1.RunFunctionRequest, claim: Claim, asked: Mapping[str, Requirement]) -> Found:
    answered = request.required_resources
    wanted = [name for name in asked if name.startswith("flavor-")]
    configs = None
    if all(name in answered for name in wanted):
        configs = {
            name.removeprefix("flavor-"): plain(item.resource) for name in wanted for item in answered[name].items
        }
    old = {}
    for name in TRANSPORTS:
        scalers, workloads = f"leaving-{name}-scalers", f"leaving-{name}-workloads"
        if scalers in answered and workloads in answered:
            old[name] = Old(_views(answered[scalers].items), _views(answered[workloads].items))
    return Found(
        flavors=configs,
        neighbours=_neighbourhood(answered[ACTORS].items, claim) if ACTORS in answered else None,
        elsewhere=_elsewhere(request, asked),
        crew=_crew(request),
        everywhere=[_neighbour(item) for item in answered[EVERYWHERE].items] if EVERYWHERE in answered else None,
        rivals=[
            _neighbour(item)
            for name in asked
            if name.startswith(RIVALS) and name in answered
            for item in answered[name].items
        ],
        exchanges=_exchanges(answered[EXCHANGE].items) if EXCHANGE in answered else {},
        old=old,
        workload=next(iter(_views(answered[BOUND].items)), None) if BOUND in answered else None,
    )


def _elsewhere(
    request: fnv1.RunFunctionRequest, asked: Mapping[str, Requirement]
) -> dict[TransportName, list[str]] | None:
    """Return the actors that are scaled on other transports and do not leave them; None until that is answered."""
    wanted = [name for name in TRANSPORTS if f"{ELSEWHERE}{name}" in asked]
    if ACTORS in asked or not all(f"{ELSEWHERE}{name}" in request.required_resources for name in wanted):
        return None
    return {
        name: [
            text(item.resource, "metadata", "labels", ACTOR)
            for item in request.required_resources[f"{ELSEWHERE}{name}"].items
            if not text(item.resource, "metadata", "annotations", LEFT)
        ]
        for name in wanted
    }


def _crew(request: fnv1.RunFunctionRequest) -> list[Neighbour] | None:
    answered, wanted = request.required_resources, [f"{CREW}{name}" for name in TERMINAL_ACTORS]
    if not all(name in answered for name in wanted):
        return None
    return [_neighbour(item) for name in wanted for item in answered[name].items]


def _views(items: Iterable[fnv1.Resource]) -> list[Seen]:
    return [View(item.resource) for item in items]


def _exchanges(items: Iterable[fnv1.Resource]) -> dict[str, str]:
    """Return what tells one object of a name from the next, of those that have made their exchange."""
    return {
        text(item.resource, "metadata", "name"): text(item.resource, "metadata", "uid")
        for item in items
        if _is_ready(item.resource)
    }


def _neighbourhood(items: Iterable[fnv1.Resource], claim: Claim) -> Neighbourhood:
    """Read only what is needed: there may be thousands. The claim stands for itself as it is now, seen or not."""
    by_transport: dict[TransportName | None, list[str]] = {None: []}
    known, among = [], False
    own, here, left = claim.actor, claim.name, by_transport[None]
    bound = "workloadRef" in claim.spec or claim.flavors
    for item in items:
        fields = item.resource.fields
        name = fields["metadata"].struct_value.fields["name"].string_value
        spec = fields["spec"].struct_value.fields
        actor = (spec["actor"].string_value or name) if "actor" in spec else name
        if "transport" in spec:
            by_transport.setdefault(_TRANSPORTS.get(spec["transport"].string_value), []).append(actor)
        else:
            left.append(actor)
        among = among or name == here
        if actor == own or (bound and "workloadRef" in spec):
            known.append(_neighbour(item))
    if not among:
        wanted = _TRANSPORTS.get(str(claim.spec.get("transport")))
        by_transport.setdefault(wanted, []).append(claim.actor)
        known.append(Neighbour(claim.name, claim.actor, claim.namespace, wanted, "~"))
    return Neighbourhood({name: actors for name, actors in by_transport.items() if actors}, known)


def _neighbour(item: fnv1.Resource) -> Neighbour:
    name, spec = text(item.resource, "metadata", "name"), View(item.resource).get("spec")
    said = spec if isinstance(spec, Mapping) else {}
    return Neighbour(
        object_name=name,
        actor=text(item.resource, "spec", "actor") or name,
        namespace=text(item.resource, "metadata", "namespace"),
        transport=_TRANSPORTS.get(text(item.resource, "spec", "transport")),
        created=text(item.resource, "metadata", "creationTimestamp"),
        ready=_is_ready(item.resource),
        workload=workload_of(said),
    )


def _is_ready(struct: struct_pb2.Struct) -> bool:
    # Not by the SDK's get_condition, which fails where a lastTransitionTime is null.
    condition = Observed({"": View(struct)}).condition("", "Ready")
    return condition is not None and condition.is_true


def _write(answer: fnv1.RunFunctionResponse, composition: Composition) -> None:
    _keep(answer, composition.resources)
    answer.desired.composite.resource.update({"status": composition.status})
    if composition.later:
        # What is left for later would not be missed otherwise.
        answer.desired.composite.ready = fnv1.READY_FALSE
    _tell(answer, composition.conditions)


def _until_next_look(composition: Composition, composite: Manifest, patience: int) -> int:
    """Return after how many seconds Crossplane is to look again; it watches no object of another actor."""
    if composition.later:
        return min(patience, _WAITING_SECONDS if _is_young(composite) else _LONG_WAITING_SECONDS)
    return patience if all_is_well(composition.conditions) else min(patience, _LONG_WAITING_SECONDS)


def _is_young(composite: Manifest) -> bool:
    made = composite.get("metadata", {}).get("creationTimestamp")
    if made is None:
        return True
    return (datetime.now(UTC) - datetime.fromisoformat(made)).total_seconds() < _BIRTH_SECONDS


def _keep(answer: fnv1.RunFunctionResponse, resources: Mapping[str, Resource]) -> None:
    for key, wanted in resources.items():
        entry = answer.desired.resources[key]
        entry.Clear()
        fill(entry.resource, wanted.manifest)
        entry.ready = fnv1.READY_TRUE if wanted.ready else fnv1.READY_FALSE


def _tell(answer: fnv1.RunFunctionResponse, told: Iterable[Condition]) -> None:
    response.set_conditions(
        answer, *(resource.Condition(each.type, each.status, each.reason, each.message) for each in told)
    )


def _announce(answer: fnv1.RunFunctionResponse, composite: Manifest, told: Iterable[Condition]) -> None:
    """Make an event of what is newly wrong; a result at every call would be an event every minute."""
    known = Observed({"": composite})
    for each in told:
        before = known.condition("", each.type)
        if each.reason in _ANNOUNCED and (before is None or before.message != each.message):
            response.warning(answer, f"{each.type}: {each.message}")


_ANNOUNCED = ("Failed", REFUSED, FLAVOR_MISSING, "Mixed", "CrewMissing", "CrewUnreachable", "Draining")
