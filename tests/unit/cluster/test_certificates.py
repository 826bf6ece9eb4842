from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.cluster.certificates import write_all
from tests.cluster.plan import Plan, plan


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    made = plan("one", {"ASYA_CLUSTER_STATE": str(tmp_path_factory.mktemp("state"))})
    write_all(made)
    return made


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "authority"),
    [("apiserver", "cluster"), ("kubelet", "cluster"), ("admin", "cluster"), ("front-proxy", "front-proxy")],
)
def test_each_is_signed_by_its_authority(cluster: Plan, name: str, authority: str) -> None:
    read(cluster.pki / f"{name}.pem").verify_directly_issued_by(read(cluster.pki / f"{authority}-ca.pem"))


def test_the_front_proxy_is_nobody_to_the_cluster(cluster: Plan) -> None:
    with pytest.raises(ValueError, match=r"[Ii]ssuer"):
        read(cluster.pki / "front-proxy.pem").verify_directly_issued_by(read(cluster.pki / "cluster-ca.pem"))


def test_the_api_server_is_known_by_all_its_names(cluster: Plan) -> None:
    names = read(cluster.pki / "apiserver.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"10.244.0.1", "10.96.0.1", "127.0.0.1"} == {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize(
    ("name", "user", "group"),
    [
        ("admin", "admin", "system:masters"),
        ("kubelet", "system:node:node1", "system:nodes"),
        ("kube-scheduler", "system:kube-scheduler", None),
    ],
)
def test_users_are_who_the_api_server_takes_them_for(cluster: Plan, name: str, user: str, group: str | None) -> None:
    subject = read(cluster.pki / f"{name}.pem").subject
    assert [part.value for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [user]
    found = [part.value for part in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    assert found == ([group] if group else [])


def test_a_user_cannot_pose_as_a_server(cluster: Plan) -> None:
    usage = read(cluster.pki / "admin.pem").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH not in list(usage)


def test_keys_and_kubeconfigs_are_their_owners(cluster: Plan) -> None:
    secret = [*cluster.pki.glob("*-key.pem"), *cluster.kubeconfig.parent.iterdir()]
    assert len(secret) >= 12
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in secret if path.stat().st_mode & 0o077} == {}


def test_the_kubeconfig_names_files_that_are_there(cluster: Plan) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    (user,), (server,) = config["users"], config["clusters"]
    assert all(Path(path).is_file() for path in user["user"].values())
    assert Path(server["cluster"]["certificate-authority"]).is_file()
    assert server["cluster"]["server"] == "https://10.244.0.1:6443"
