"""A namespace with actors, under the restricted profile, and the few things that tests do with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.cluster.e2e.mail import REGION, S3_LOGIN, Mail
from tests.cluster.e2e.target import Target
from tests.cluster.waiting import wait_until

LABELS = {"pod-security.kubernetes.io/enforce": "restricted"}
CHECKPOINT_SECRET = "checkpoints"
"""Secret with what x-sink needs to keep results; the crew's values name it."""
RUNTIME, SIDECAR = "asya-runtime", "asya-sidecar"
Manifest = Mapping[str, Any]


class Stage:
    """One namespace. It is made at once; what is there already stays."""

    def __init__(self, target: Target, namespace: str) -> None:
        self.target, self.namespace = target, namespace
        self.kubectl = target.kubectl
        self.mail = Mail(target, namespace)
        metadata = {"name": namespace, "labels": LABELS}
        login = {**S3_LOGIN, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": target.s3_url}
        self.kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": CHECKPOINT_SECRET, "namespace": namespace},
                "stringData": login,
            },
        )

    def actor(self, name: str, **spec: Any) -> Manifest:
        """Return the manifest of an actor with the worker's image."""
        own = {
            "image": self.target.image("e2e/worker:1"),
            "handler": "work.work",
            "resources": {"requests": {"cpu": "10m"}},
        }
        spec = {**own, **spec}
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": metadata, "spec": spec}

    def remove(self, *names: str) -> None:
        """Take actors away, so that the one node has room for others; it is not waited for."""
        self.kubectl("delete", "asyncactors", *names, f"--namespace={self.namespace}", "--wait=false")

    def ready(self, *names: str, seconds: int = 180) -> None:
        """Wait until actors are Ready."""
        for name in names:
            self.kubectl.wait(f"asyncactor/{name}", "condition=Ready", namespace=self.namespace, seconds=seconds)

    def get(self, *words: str) -> Any:
        """What `kubectl get` finds in the namespace."""
        return self.kubectl.get(*words, f"--namespace={self.namespace}")

    def names(self) -> set[str]:
        """The names of all actors of the namespace, the crew's too."""
        return {each["metadata"]["name"] for each in self.get("asyncactors")["items"]}

    def pods(self, actor: str) -> list[Any]:
        """The pods of an actor that are not being deleted."""
        found = self.get("pods", "--selector", f"asya.sh/actor={actor}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def running(self, actor: str, seconds: float = 120) -> list[Any]:
        """Wait for a ready pod of an actor, and return all ready ones."""
        found: list[Any] = []

        def there() -> bool:
            found[:] = self.serving(actor)
            return bool(found)

        wait_until(f"a ready pod of {actor}", there, seconds)
        return found

    def serving(self, actor: str) -> list[Any]:
        """The pods of an actor that are ready now."""
        return [pod for pod in self.pods(actor) if is_ready(pod)]

    def describe(self, actor: str) -> str:
        """What `kubectl describe` says about an actor."""
        return self.kubectl("describe", f"asyncactor/{actor}", f"--namespace={self.namespace}")


def is_ready(pod: Any) -> bool:
    """Whether a pod says so."""
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def container(pod: Any, name: str) -> str:
    """Return the id of a pod's container, without the name of the runtime.

    Raises:
        StopIteration: It has none of this name.
    """
    both = [*pod["status"].get("initContainerStatuses", ()), *pod["status"]["containerStatuses"]]
    found: str = next(each["containerID"] for each in both if each["name"] == name)
    return found.rpartition("/")[2]
