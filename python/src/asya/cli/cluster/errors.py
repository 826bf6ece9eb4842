"""What a cluster does not do."""

from __future__ import annotations

from asya.errors import AsyaError


class ClusterError(AsyaError):
    """The cluster cannot be reached, or does not do what it was asked to."""

    code = "cluster"


class ForbiddenError(ClusterError):
    """The person may not do that; the message names verb and object."""

    code = "cluster.forbidden"
