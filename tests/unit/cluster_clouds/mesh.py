"""A cluster with cloud kinds and a provider for them, on which the composition function's objects are put."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from kubernetes import client as kubernetes
from kubernetes.client.exceptions import ApiException
from tests.cluster.clouds.aws_server import AwsServer, Keys
from tests.cluster.clouds.fake_provider import FakeProvider
from tests.compose.calls import ROOT, Manifest, actor, as_observed, call
from tests.support.apiserver import ApiServer

from asya_composer.kinds import COMPOSED, Kind

CLOUD = {(each.api_version, each.kind): each for each in COMPOSED if each.provider is not None}
ISSUER = "kubernetes.default.svc"
SOON = 40.0
_CROSSPLANE = "apiextensions.crossplane.io/composed/0123456789abcdef"


def settings(example: str) -> Manifest:
    """The input of an example, with the issuer of the test's own cluster."""
    composition = yaml.safe_load((ROOT / "crossplane" / "examples" / example / "composition.yaml").read_text())
    found: Manifest = composition["spec"]["pipeline"][0]["input"]
    if "sqs" in found["transports"]:
        found["transports"]["sqs"]["oidcProvider"] = ISSUER
    return found


def until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait for something that the provider does."""
    deadline = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@dataclass
class Mesh:
    """Composes as Crossplane does: server-side apply of what the function wants, deletion of what it does not."""

    server: ApiServer
    aws: AwsServer
    provider: FakeProvider
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.server.client()
        self.custom: Any = kubernetes.CustomObjectsApi(self.client)
        self.core: Any = kubernetes.CoreV1Api(self.client)
        self._told: Manifest = {}
        self.start()

    def start(self) -> None:
        self._thread = threading.Thread(target=self.provider.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.provider.stop()
        self._thread.join(10)

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Apply an object as Crossplane does; fields that its kind does not have are refused."""
        kind = CLOUD[manifest["apiVersion"], manifest["kind"]]
        options = {"dry_run": "All"} if dry_run else {}
        answer = self.custom.patch_namespaced_custom_object(
            kind.group,
            kind.version,
            manifest["metadata"]["namespace"],
            kind.plural,
            manifest["metadata"]["name"],
            manifest,
            field_manager=_CROSSPLANE,
            force=True,
            field_validation="Strict",
            _content_type="application/apply-patch+yaml",
            _preload_content=False,  # the client reads no answer of status 201
            **options,
        )
        found: Manifest = json.loads(answer.data)
        return found

    def find(self, manifest: Manifest) -> Manifest | None:
        kind, metadata = CLOUD[manifest["apiVersion"], manifest["kind"]], manifest["metadata"]
        return self.get(kind, metadata["namespace"], metadata["name"])

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        try:
            found: Manifest = self.custom.get_namespaced_custom_object(
                kind.group, kind.version, namespace, kind.plural, name
            )
        except ApiException as error:
            if error.status != 404:
                raise
            return None
        return found

    def delete(self, manifest: Manifest) -> None:
        kind, metadata = CLOUD[manifest["apiVersion"], manifest["kind"]], manifest["metadata"]
        self.custom.delete_namespaced_custom_object(
            kind.group, kind.version, metadata["namespace"], kind.plural, metadata["name"]
        )

    def after_a_poll(self) -> None:
        """Wait until the provider has compared everything with the clouds once more."""
        # The one under way may have begun before what is to be seen.
        wanted = self.provider.polls + 2
        until(lambda: self.provider.polls >= wanted, lambda: f"{self.provider.polls} polls")

    def annotate(self, kind: Kind, namespace: str, name: str, annotations: dict[str, str]) -> None:
        body = {"metadata": {"annotations": annotations}}
        self.custom.patch_namespaced_custom_object(kind.group, kind.version, namespace, kind.plural, name, body)

    def compose(
        self, example: str, name: str, *, namespace: str = "shop", told: str | None = None, **spec: Any
    ) -> dict[str, Manifest]:
        """Compose an actor until everything of it is ready; return the cloud objects by key, as they are then.

        With `told`, until a condition says that instead.
        """
        composite = actor(name, metadata={"namespace": namespace}, **spec)
        observed: dict[str, Manifest] = {}

        def ready() -> bool:
            answer = call(composite, settings(example), observed=observed)
            assert not answer.fatal, answer.fatal
            # What is not of a cloud is taken for done.
            observed.update(as_observed(answer))
            for key, manifest in answer.resources.items():
                if (manifest["apiVersion"], manifest["kind"]) in CLOUD:
                    observed[key] = self.apply(manifest)
            self._told = {
                **{key: value[2] for key, value in answer.conditions.items() if value[0] == "False"},
                **{key: observed[key].get("status", {}) for key, done in answer.ready.items() if not done},
            }
            return all(answer.ready.values()) if told is None else told in str(self._told)

        until(ready, lambda: self._told)
        return {key: each for key, each in observed.items() if (each["apiVersion"], each["kind"]) in CLOUD}

    def remove(self, objects: dict[str, Manifest]) -> None:
        """Delete an actor's objects, all at once, and wait until the provider has let go of them."""
        for each in objects.values():
            self.delete(each)
        left = lambda: {key: found for key, each in objects.items() if (found := self.find(each))}  # noqa: E731
        until(lambda: not left(), left)

    def token(self, namespace: str, account: str, audience: str = "sts.amazonaws.com") -> str:
        """A token as it is projected into a pod of a service account."""
        try:
            self.core.create_namespaced_service_account(namespace, {"metadata": {"name": account}})
        except ApiException as error:
            if error.status != 409:
                raise
        asked = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
        found: str = self.core.create_namespaced_service_account_token(account, namespace, asked).status.token
        return found

    def as_pod(self, objects: dict[str, Manifest]) -> Keys:
        """What a pod of the actor gets with its token."""
        role = objects["sqs-role"]
        metadata = role["metadata"]
        account = f"{metadata['labels']['asya.sh/actor']}-actor"
        return self.aws.role(role["status"]["atProvider"]["arn"], self.token(metadata["namespace"], account))
