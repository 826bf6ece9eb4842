"""The delay ladder of RabbitMQ as objects of the Messaging Topology Operator, for those who install with Git.

``python tools/delay_ladder.py`` writes it, ``--check`` tells whether it is what the code would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from generated import checking, settle

from asya.transports.rabbitmq.ladder import Ladder
from asya.transports.rabbitmq.topology import Binding, Declaration, Exchange, Queue, ladder_topology

FILE = Path(__file__).resolve().parent.parent / "gitops/kustomize/platform/rabbitmq/delay-ladder.yaml"
_HEADER = "# Generated from asya.transports.rabbitmq by tools/delay_ladder.py; do not edit.\n"
_CLUSTER = {"namespace": "asya-system", "connectionSecret": {"name": "rabbitmq-admin"}}
_LEVEL_BIT = re.compile(r"([01])\.#$")

Manifest = dict[str, Any]


def manifests(ladder: Ladder | None = None) -> list[Manifest]:
    """Return the objects; their order does not matter, as the operator tries until a binding's ends are there."""
    return [_manifest(each) for each in ladder_topology(ladder or Ladder())]


def text() -> str:
    """Return the file."""
    return _HEADER + yaml.safe_dump_all(manifests(), sort_keys=False, width=120)


def main() -> int:
    """Write the file, or compare it."""
    return settle({FILE: text()}, check=checking((__doc__ or "").splitlines()[0]), again="generate")


def _manifest(declared: Declaration) -> Manifest:
    match declared:
        case Exchange():
            spec = {"name": declared.name, "type": declared.kind, "durable": True}
            return _object("Exchange", declared.name, spec, declared.arguments)
        case Queue():
            # The operator sets x-queue-type itself, from `type`.
            arguments = {name: value for name, value in declared.arguments.items() if name != "x-queue-type"}
            spec = {"name": declared.name, "type": declared.arguments["x-queue-type"], "durable": True}
            return _object("Queue", declared.name, spec, arguments)
        case Binding():
            spec = {
                "source": declared.source,
                "destination": declared.destination,
                "destinationType": "exchange" if declared.to_exchange else "queue",
            }
            if declared.key:
                # The operator writes its objects back without what is empty; each upgrade would write that again.
                spec["routingKey"] = declared.key
            bit = _LEVEL_BIT.search(declared.key)
            return _object("Binding", f"{declared.source}.{bit[1] if bit else 'all'}", spec, {})


def _object(kind: str, name: str, spec: Manifest, arguments: Mapping[str, Any]) -> Manifest:
    return {
        "apiVersion": "rabbitmq.com/v1beta1",
        "kind": kind,
        "metadata": {"name": name.replace("_", "-"), "namespace": "asya-system"},
        "spec": {
            **spec,
            **({"arguments": dict(arguments)} if arguments else {}),
            "rabbitmqClusterReference": _CLUSTER,
        },
    }


if __name__ == "__main__":
    sys.exit(main())
