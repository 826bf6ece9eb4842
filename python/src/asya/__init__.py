"""Asya: an actor mesh for AI workloads on Kubernetes and on one machine.

Belongs here: what the mesh is made of, in layers (see docs/concepts/architecture.md). Does not belong here: the process
beside an actor (`asya_sidecar`) and the file in the user's container (`asya_runtime`).
"""

__version__ = "0.2.0.dev0"
