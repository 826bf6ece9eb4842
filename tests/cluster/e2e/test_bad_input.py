"""What people are told by `kubectl apply` and `kubectl describe` when something is wrong."""

from __future__ import annotations

import pytest
from tests.cluster.plan import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("e2e")]
FOLDER = ROOT / "tests" / "compose" / "manifests" / "bad"
_SECONDS = 60
