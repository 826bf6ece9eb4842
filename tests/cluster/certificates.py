"""Keys and certificates of a cluster, and the kubeconfigs made of them."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.cluster.plan import Plan

_LIFE = dt.timedelta(days=30)
_SKEW = dt.timedelta(minutes=5)
USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", "system:node-proxier"),
}


class Authority:
    """Signs certificates; its own is `NAME-ca.pem` in the folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}-ca")])
        self.file = folder / f"{name}-ca.pem"
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        own = _unsigned(self._name, self._name, self._key.public_key())
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        own = own.add_extension(usage, critical=True)
        folder.mkdir(parents=True, exist_ok=True)
        _write_certificate(self.file, own.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, user: str, group: str = "", hosts: Sequence[str] = ()) -> None:
        """Write `NAME.pem` and `NAME-key.pem`, good for a client, and for a server where `hosts` are given."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group:
            subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        made = _unsigned(x509.Name(subject), self._name, key.public_key())
        if hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            made = made.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        _write_certificate(self._folder / f"{name}.pem", made.sign(self._key, hashes.SHA256()))
        write_key(self._folder / f"{name}-key.pem", key)


def write_all(plan: Plan) -> None:
    """Write every key, certificate and kubeconfig of a cluster."""
    cluster, front = Authority(plan.pki, "cluster"), Authority(plan.pki, "front-proxy")
    services = [f"kubernetes{rest}" for rest in ("", ".default", ".default.svc", f".default.svc.{plan.domain}")]
    hosts = [plan.network.node, plan.network.kubernetes, "127.0.0.1", "localhost", *services]
    cluster.issue("apiserver", "kube-apiserver", hosts=hosts)
    cluster.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters")
    cluster.issue("kubelet", f"system:node:{plan.node}", "system:nodes", [plan.network.node, plan.node])
    front.issue("front-proxy", "front-proxy-client")
    write_key(plan.pki / "service-accounts-key.pem", ec.generate_private_key(ec.SECP256R1()))
    for name, (user, group) in USERS.items():
        cluster.issue(name, user, group)
    for name in (*USERS, "kubelet"):
        _write_kubeconfig(plan, name)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key that only its owner may read."""
    path.touch(mode=0o600)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def _write_kubeconfig(plan: Plan, name: str) -> None:
    user = {"client-certificate": str(plan.pki / f"{name}.pem"), "client-key": str(plan.pki / f"{name}-key.pem")}
    cluster = {"server": plan.server, "certificate-authority": str(plan.pki / "cluster-ca.pem")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": plan.name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": plan.name, "context": {"cluster": plan.name, "user": name}}],
        "current-context": plan.name,
    }
    path = plan.kubeconfig.with_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(now - _SKEW).not_valid_after(now + _LIFE)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
