"""containerd, kubelet and kube-proxy: how each is set up and started."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from tests.cluster.plan import Plan
from tests.cluster.processes import Component, Http
from tests.cluster.programs import program

SOCKET = "/run/containerd/containerd.sock"
PLUGINS = Path("/usr/lib/cni")
PAUSE = "asya-cluster/pause"
_DISABLED = (
    *(f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")),
    *("io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.opt"),
)
# The kubelet asks for at least this much room on the disk; a machine of tests may be fuller than a node should be.
_EVICTION = {"memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"}


def containerd(plan: Plan) -> Component:
    """The container runtime. Each image, whatever registry its name says, comes from the registry on the node."""
    folder = plan.state / "containerd"
    mirror = (
        f'server = "http://{plan.registry}"\n\n[host."http://{plan.registry}"]\ncapabilities = ["pull", "resolve"]\n'
    )
    files = {
        folder / "config.toml": containerd_config(plan),
        folder / "hosts" / "_default" / "hosts.toml": mirror,
        folder / "cni" / "10-asya.conflist": json.dumps(pod_network(plan), indent=2),
    }
    return Component("containerd", ("containerd", f"--config={folder / 'config.toml'}"), files=files)


def containerd_config(plan: Plan) -> str:
    """Return containerd's config.toml."""
    folder = plan.state / "containerd"
    disabled = ", ".join(f'"{name}"' for name in _DISABLED)
    return f"""version = 2
root = "{folder / "root"}"
state = "/run/containerd/state"
# None of these is used here, and each has complaints about machines that lack it.
disabled_plugins = [{disabled}]

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{plan.registry}/{PAUSE}:1"
# Where CAP_SYS_RESOURCE is withheld, pods cannot be started with a lower score than the runtime's own.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
# Where the machine has AppArmor, its profiles are not loaded for these pods.
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{folder / "cni"}"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{folder / "hosts"}"
"""


def pod_network(plan: Plan) -> dict[str, object]:
    """Return the CNI configuration: a bridge on which the node is the gateway."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": plan.network.pods, "gateway": plan.network.node}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(plan.state / "cni" / "addresses"),
    }
    bridge = {
        "type": "bridge",
        "bridge": plan.network.bridge,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "asya", "plugins": [bridge, ports]}


def kubelet(plan: Plan) -> Component:
    """The kubelet."""
    config = plan.state / "kubelet-config.yaml"
    command = (
        str(program("kubelet").path),
        f"--config={config}",
        f"--kubeconfig={plan.kubeconfig.with_name('kubelet')}",
        f"--hostname-override={plan.node}",
        f"--node-ip={plan.network.node}",
    )
    files = {config: yaml.safe_dump(kubelet_config(plan), sort_keys=False)}
    return Component("kubelet", command, Http("http://127.0.0.1:10248/healthz"), files)


def kubelet_config(plan: Plan) -> dict[str, object]:
    """Return the KubeletConfiguration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "address": plan.network.node,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(plan.pki / "cluster-ca.pem")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(plan.pki / "kubelet.pem"),
        "tlsPrivateKeyFile": str(plan.pki / "kubelet-key.pem"),
        "clusterDNS": [plan.network.dns],
        "clusterDomain": plan.domain,
        "resolvConf": "",
        "podLogsDir": str(plan.logs / "pods"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{plan.scope}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": _EVICTION,
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        # Tests make many pods at once; the defaults are for nodes that share an API server.
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "maxPods": 250,
        "syncFrequency": "10s",
        "shutdownGracePeriod": "0s",
    }


def kube_proxy(plan: Plan) -> Component:
    """The proxy of services, by nftables."""
    config = plan.state / "kube-proxy-config.yaml"
    content = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(plan.kubeconfig.with_name("kube-proxy"))},
        "hostnameOverride": plan.node,
        "clusterCIDR": plan.network.pods,
        "nodePortAddresses": [plan.network.pods],
        # Zero leaves the machine's own limits, which a namespace may not change.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    command = (str(program("kube-proxy").path), f"--config={config}")
    ready = Http("http://127.0.0.1:10249/healthz")
    return Component("kube-proxy", command, ready, {config: yaml.safe_dump(content, sort_keys=False)})
