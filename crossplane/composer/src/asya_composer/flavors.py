"""Flavors: named partial specs that the platform team keeps as EnvironmentConfigs, merged into the actor's own.

Lists are appended and maps merged. Entries of lists that have a key of their own (variables, volumes, mounts, state)
are told apart by it. Lists that mean something only as a whole (a command, node terms, of which one suffices) are
replaced. Two flavors that give one field different values are in conflict. What the actor says wins; the
definition has no defaults, so what it holds is what was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from asya.api import ActorSpec
from asya.api.paths import path_text
from asya.api.problems import findings
from asya_composer.errors import CompositionError

FIELD = "spec.flavors"
LABEL = "asya.sh/flavor"
"""Only an EnvironmentConfig with it is a flavor: others may hold what tenants must not read."""
_ACTORS_OWN = ("actor", "transport", "flavors")
_KEYS = ("name", "mountPath", "secretName", "ip")
"""What an entry of a list is called by, where it has one of these; the first that it has counts."""
_PORT = "containerPort"
"""With its protocol it names a port that has no name: 53/UDP is another one than 53/TCP."""
_SPREAD = ("topologyKey", "whenUnsatisfiable")
"""Both together name a spread constraint."""
_WHOLE = ("command", "args", "nodeSelectorTerms")


@dataclass(frozen=True, slots=True)
class Flavor:
    """A partial spec and its name."""

    name: str
    spec: Mapping[str, Any]


def read(name: str, config: Mapping[str, Any]) -> Flavor:
    """Return the flavor that an EnvironmentConfig holds in `data`.

    Raises:
        CompositionError: It is no flavor, holds something that no actor has, or what only an actor itself may say.
    """
    if LABEL not in ((config.get("metadata") or {}).get("labels") or {}):
        raise CompositionError(FIELD, f"EnvironmentConfig {name!r} is no flavor: it has no label {LABEL}")
    data = config.get("data") or {}
    for field in _ACTORS_OWN:
        if field in data:
            raise CompositionError(FIELD, f"flavor {name!r} has {field!r}, which only an actor itself may say")
    try:
        ActorSpec.model_validate(data, by_name=False, by_alias=True)
    except ValidationError as error:
        first = findings(error, data, ActorSpec)[0]
        raise CompositionError(FIELD, f"flavor {name!r}, data.{path_text(first.path)}: {first.message}") from error
    return Flavor(name, data)


def merge(flavors: Sequence[Flavor], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `own` with the flavors under it.

    Raises:
        CompositionError: Two flavors give one field different values; both are named.
    """
    found: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for flavor in flavors:
        found = _maps(found, flavor.spec, "spec", flavor.name, owners)
    said = {name: value for name, value in own.items() if name != "flavors"}
    return _maps(found, said, "spec", None, owners)


def _maps(
    below: Mapping[str, Any], above: Mapping[str, Any], path: str, flavor: str | None, owners: dict[str, str]
) -> dict[str, Any]:
    found = dict(below)
    for name, value in above.items():
        place = f"{path}.{name}"
        found[name] = _values(below[name], value, place, flavor, owners) if name in below else value
        if flavor is not None and not isinstance(value, dict | list):
            owners.setdefault(place, flavor)
        elif flavor is not None:
            _own(value, place, flavor, owners)
    return found


def _values(below: Any, above: Any, place: str, flavor: str | None, owners: dict[str, str]) -> Any:  # noqa: ANN401  JSON
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return _maps(below, above, place, flavor, owners)
    whole = place.rpartition(".")[2] in _WHOLE
    if isinstance(below, list) and isinstance(above, list) and not whole:
        return _lists(below, above, place, flavor, owners)
    if flavor is not None and below != above:
        raise _conflict(place, owners.get(place, "another"), flavor)
    return above


def _lists(
    below: Sequence[Any], above: Sequence[Any], place: str, flavor: str | None, owners: dict[str, str]
) -> list[Any]:
    found = list(below)
    places = {key: index for index, entry in enumerate(found) if (key := _key(entry)) is not None}
    for entry in above:
        key = _key(entry)
        if key is None or key not in places:
            found.append(entry)
            continue
        if flavor is not None and found[places[key]] != entry:
            raise _conflict(f"{place}[{key}]", owners.get(f"{place}[{key}]", "another"), flavor)
        found[places[key]] = entry
    return found


def _own(value: Any, place: str, flavor: str, owners: dict[str, str]) -> None:  # noqa: ANN401  any JSON value
    """Note who was first to give each leaf."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _own(inner, f"{place}.{name}", flavor, owners)
    elif isinstance(value, list):
        owners.setdefault(place, flavor)
        for entry in value:
            if (key := _key(entry)) is not None:
                owners.setdefault(f"{place}[{key}]", flavor)
    else:
        owners.setdefault(place, flavor)


def _key(entry: Any) -> str | None:  # noqa: ANN401  any JSON value
    if not isinstance(entry, Mapping):
        return None
    if all(name in entry for name in _SPREAD):
        return ", ".join(str(entry[name]) for name in _SPREAD)
    named = next((str(entry[name]) for name in _KEYS if name in entry), None)
    if named is None and _PORT in entry:
        return f"{entry[_PORT]}/{entry.get('protocol', 'TCP')}"
    return named


def _conflict(place: str, first: str, second: str) -> CompositionError:
    return CompositionError(FIELD, f"flavors {first!r} and {second!r} both give {place}, and differ; drop one of them")
