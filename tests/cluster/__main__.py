"""A Kubernetes of one node without Docker, in namespaces of its own: `python -m tests.cluster up|down|status|…`."""

from __future__ import annotations

import argparse
import os
import sys

from tests.cluster import preflight
from tests.cluster.cluster import Cluster
from tests.cluster.install import PARTS, install
from tests.cluster.kubectl import command
from tests.cluster.plan import ClusterError
from tests.cluster.programs import program

INCAPABLE = 3
"""Exit code: no package and no build would make a cluster of this machine."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", default="asya", help="of the cluster (default: asya); several can run")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "check", help=f"whether this machine can hold a cluster; exit {INCAPABLE} and why when it cannot"
    )
    commands.add_parser("up", help="bring it up: node ready, names resolved, brokers listening")
    installing = commands.add_parser("install", help="install what stands on the node")
    installing.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all when none is named")
    commands.add_parser("down", help="take it down; nothing is left behind but the cache")
    commands.add_parser("status", help="show what runs; exit 1 when it is not up")
    showing = commands.add_parser("logs", help="show the logs of its processes")
    showing.add_argument("names", nargs="*", metavar="NAME", help="of processes; without any, the ends of all logs")
    for name, text in (("kubectl", "kubectl as administrator"), ("exec", "run a command in the cluster's network")):
        commands.add_parser(name, help=text, add_help=False, prefix_chars="\0").add_argument("words", nargs="*")
    return parser


def _check() -> int:
    found = preflight.incapable(preflight.look())
    for line in found:
        print(f"- {line}")
    return INCAPABLE if found else 0


def _logs(cluster: Cluster, names: list[str]) -> int:
    found = cluster.plan.logs
    known = sorted(path.stem for path in found.glob("*.log"))
    if unknown := sorted(set(names) - set(known)):
        raise ClusterError(f"no log of {', '.join(unknown)} in {found}; there are: {', '.join(known) or 'none'}")
    for name in names:
        print((found / f"{name}.log").read_text(errors="replace"), end="")
    for name in () if names else known:
        print(f"--- {name}\n{cluster.processes.tail(name)}")
    return 0


def _become(words: list[str], kubeconfig: str) -> int:
    sys.stdout.flush()
    folders = [str(program("kubectl").path.parent), os.environ.get("PATH", os.defpath)]
    os.execvpe(words[0], words, {**os.environ, "PATH": os.pathsep.join(folders), "KUBECONFIG": kubeconfig})


def _do(options: argparse.Namespace) -> int:
    cluster = Cluster(options.name)
    match options.command:
        case "check":
            return _check()
        case "up":
            cluster.up()
            print(f"kubeconfig, for use in the cluster's network: {cluster.plan.kubeconfig}", file=sys.stderr)
        case "down":
            cluster.down()
        case "status":
            print(cluster.status())
            return 0 if cluster.running else 1
        case "logs":
            return _logs(cluster, options.names)
        case _ if not cluster.running:
            raise ClusterError(f"cluster {options.name} is not up")
        case "install":
            install(cluster, options.parts)
        case "kubectl":
            return _become(cluster.kubectl().command(options.words), str(cluster.plan.kubeconfig))
        case "exec":
            return _become(command(cluster.plan, options.words), str(cluster.plan.kubeconfig))
        case _:
            pass
    return 0


def main() -> int:
    """Run one command."""
    try:
        return _do(_parser().parse_args())
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
