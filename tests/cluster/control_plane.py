"""etcd, API server, controller manager and scheduler: how each is started."""

from __future__ import annotations

from tests.cluster.plan import Plan
from tests.cluster.processes import Component, Http
from tests.cluster.programs import program


def etcd(plan: Plan) -> Component:
    """The store. It does not wait for the disk: a cluster of tests is made anew, not repaired."""
    client, peers = (f"http://127.0.0.1:{port}" for port in (plan.network.etcd, plan.network.etcd_peers))
    options = {
        "data-dir": plan.state / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return Component("etcd", _command("etcd", options), Http(f"{client}/health"))


def apiserver(plan: Plan) -> Component:
    """The API server, with the aggregation layer that KEDA's metrics need."""
    pki, net = plan.pki, plan.network
    options = {
        "etcd-servers": f"http://127.0.0.1:{net.etcd}",
        "bind-address": net.node,
        "secure-port": net.apiserver,
        "advertise-address": net.node,
        "service-cluster-ip-range": net.services,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "client-ca-file": pki / "cluster-ca.pem",
        "tls-cert-file": pki / "apiserver.pem",
        "tls-private-key-file": pki / "apiserver-key.pem",
        "kubelet-client-certificate": pki / "apiserver-kubelet.pem",
        "kubelet-client-key": pki / "apiserver-kubelet-key.pem",
        "kubelet-certificate-authority": pki / "cluster-ca.pem",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": f"https://kubernetes.default.svc.{plan.domain}",
        "service-account-key-file": pki / "service-accounts-key.pem",
        "service-account-signing-key-file": pki / "service-accounts-key.pem",
        "requestheader-client-ca-file": pki / "front-proxy-ca.pem",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": pki / "front-proxy.pem",
        "proxy-client-key-file": pki / "front-proxy-key.pem",
        "enable-aggregator-routing": "true",
        # Service accounts see the server stop; what waits for it at the end of a test should not wait long.
        "shutdown-delay-duration": "0s",
    }
    ready = Http(f"{plan.server}/readyz", pki / "cluster-ca.pem", pki / "admin.pem", pki / "admin-key.pem")
    return Component("kube-apiserver", _command("kube-apiserver", options), ready, ready_seconds=120.0)


def controller_manager(plan: Plan) -> Component:
    """The controllers. Autoscalers look every 5 s, so that tests of scaling do not wait for the default of 15."""
    kubeconfig = plan.kubeconfig.with_name("kube-controller-manager")
    options = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "root-ca-file": plan.pki / "cluster-ca.pem",
        "service-account-private-key-file": plan.pki / "service-accounts-key.pem",
        "horizontal-pod-autoscaler-sync-period": "5s",
    }
    return Component("kube-controller-manager", _command("kube-controller-manager", options))


def scheduler(plan: Plan) -> Component:
    """The scheduler."""
    kubeconfig = plan.kubeconfig.with_name("kube-scheduler")
    options = {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
    }
    return Component("kube-scheduler", _command("kube-scheduler", options))


def _command(name: str, options: dict[str, object]) -> tuple[str, ...]:
    return (str(program(name).path), *(f"--{key}={value}" for key, value in options.items()))
