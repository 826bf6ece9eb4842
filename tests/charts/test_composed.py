"""What the function composes fits the same schemas and rules as what the charts render, for every example.

The cloud providers' kinds are checked against their own table by tests/compose.
"""

from pathlib import Path

import pytest
import yaml
from tests.charts.conform import refused
from tests.charts.images import PINNED, images
from tests.charts.restricted import breaches
from tests.charts.scenarios import ROOT, Manifest, containers, pod_specs

from asya_composer.kinds import COMPOSED

EXAMPLES = sorted((ROOT / "tests" / "compose" / "golden").glob("*/*.yaml"))
WITHOUT_SCHEMA = {
    (kind.group, kind.version, kind.kind) for kind in COMPOSED if kind.server in {"aws", "gcp", "monitoring"}
}


def composed(example: Path) -> list[Manifest]:
    """Return the objects of a golden file; its first document is about them."""
    found = [item for item in yaml.safe_load_all(example.read_text()) if "resource" in item]
    assert found
    return [{key: value for key, value in item.items() if key != "resource"} for item in found]


def name(example: Path) -> str:
    return f"{example.parent.name}-{example.stem}"


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_objects_fit_the_schemas(example: Path, tmp_path: Path) -> None:
    manifests = [item | {"metadata": {"name": "any"} | item["metadata"]} for item in composed(example)]
    assert refused(manifests, tmp_path, without=WITHOUT_SCHEMA) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_pods_are_restricted_pinned_bounded_and_unambiguous(example: Path) -> None:
    specs = [spec for item in composed(example) for _, spec in pod_specs(item)]
    for spec in specs:
        assert list(breaches(spec)) == []
        # What users bring may need to write; the sidecar need not.
        sidecars = [item for item in containers(spec) if item["name"] == "asya-sidecar"]
        assert [item["securityContext"]["readOnlyRootFilesystem"] for item in sidecars] == [True]
        for container in containers(spec):
            names = [entry["name"] for entry in container.get("env", ())]
            assert len(names) == len(set(names)), container["name"]
            # Kubernetes takes a request that is missing from the limit.
            asked = container["resources"]["requests"] | container["resources"]["limits"]
            assert {"cpu", "memory"} <= asked.keys(), container["name"]
            assert "memory" in container["resources"]["limits"], container["name"]


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_the_platform_s_images_are_pinned(example: Path) -> None:
    found = [image for item in composed(example) for image in images(item)]
    assert [image for image in found if not PINNED.fullmatch(image)] == []


def test_there_are_examples_for_each_transport() -> None:
    assert {"rabbitmq", "sqs", "pubsub"} <= {example.parent.name for example in EXAMPLES}
