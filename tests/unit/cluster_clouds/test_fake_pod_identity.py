"""What a pod is given where its service account has a role, as EKS's own webhook gives it."""

from __future__ import annotations

from typing import Any

from tests.cluster.clouds.fake_pod_identity import ROLE, mutated

ARN = "arn:aws:iam::123456789012:role/asya/asya_shop_resize"
REGION, STS = "eu-central-1", "http://sts.test"
POD: dict[str, Any] = {
    "metadata": {"name": "resize"},
    "spec": {
        "volumes": [{"name": "own", "emptyDir": {}}],
        "initContainers": [{"name": "sidecar", "volumeMounts": [{"name": "own", "mountPath": "/own"}]}],
        "containers": [{"name": "runtime", "env": [{"name": "AWS_REGION", "value": "us-east-1"}]}],
    },
}


def test_all_containers_get_the_role_and_the_token() -> None:
    spec = mutated(POD, {ROLE: ARN}, REGION, STS)
    assert spec is not None
    own, identity = spec["volumes"]
    assert own == POD["spec"]["volumes"][0]
    [source] = identity["projected"]["sources"]
    token = source["serviceAccountToken"]
    assert (token["audience"], token["expirationSeconds"]) == ("sts.amazonaws.com", 86_400)
    for container in (*spec["initContainers"], *spec["containers"]):
        env = {each["name"]: each["value"] for each in container["env"]}
        mount = container["volumeMounts"][-1]
        assert (env["AWS_ROLE_ARN"], env["AWS_ENDPOINT_URL_STS"]) == (ARN, STS)
        assert env["AWS_WEB_IDENTITY_TOKEN_FILE"] == f"{mount['mountPath']}/{token['path']}"
        assert mount["name"] == identity["name"]


def test_what_a_container_says_itself_stays() -> None:
    spec = mutated(POD, {ROLE: ARN}, REGION, STS)
    assert spec is not None
    regions = [each["value"] for each in spec["containers"][0]["env"] if each["name"] == "AWS_REGION"]
    assert regions == ["us-east-1"]
    assert spec["initContainers"][0]["volumeMounts"][0]["mountPath"] == "/own"


def test_the_service_account_says_whom_the_token_is_for_and_for_how_long() -> None:
    more = {"eks.amazonaws.com/audience": "sts.test", "eks.amazonaws.com/token-expiration": "600"}
    spec = mutated(POD, {ROLE: ARN, **more}, REGION, STS)
    assert spec is not None
    token = spec["volumes"][-1]["projected"]["sources"][0]["serviceAccountToken"]
    assert (token["audience"], token["expirationSeconds"]) == ("sts.test", 600)


def test_without_a_role_a_pod_is_left_alone() -> None:
    assert mutated(POD, {"other": "annotation"}, REGION, STS) is None
