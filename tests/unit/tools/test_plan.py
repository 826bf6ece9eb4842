import dataclasses

import pytest
from go_tools import DEFAULT, VERSIONS
from go_tools_build import MAINS
from go_tools_plan import Plan, PlanError, Tool, key, read_mains, read_plan

MODULE = '[module.kubernetes]\npath = "k8s.io/kubernetes"\nversion = "v1.34.2"\nsum = "h1:abc="\nstaging = "v0.34.2"\n'
TOOL = '[tool.kubelet]\ngroup = "cluster"\nmodules = ["kubernetes"]\npackage = "cmd/kubelet"\n'


@pytest.fixture(scope="module")
def pinned() -> Plan:
    return read_plan(VERSIONS.read_text())


def kubelet() -> Tool:
    return read_plan(MODULE + TOOL).tools["kubelet"]


def test_a_tool_is_a_package_of_its_module() -> None:
    tool = kubelet()
    assert (tool.version, tool.target, tool.binary) == ("v1.34.2", "k8s.io/kubernetes/cmd/kubelet", "kubelet")
    assert tool.linker == "-s -w"


def test_ldflags_name_versions_and_their_parts() -> None:
    flags = 'ldflags = ["v.git={kubernetes}", "v.major={kubernetes_major}", "v.minor={kubernetes_minor}"]\n'
    tool = read_plan(MODULE + TOOL + flags).tools["kubelet"]
    assert tool.linker == "-s -w -X v.git=v1.34.2 -X v.major=1 -X v.minor=34"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[module", "no TOML"),
        (MODULE.replace("sum", "hash"), "module.kubernetes: sum missing"),
        (MODULE + 'digest = "x"\n', "module.kubernetes: digest unknown"),
        (MODULE + TOOL + 'main = "kubelet.go"\n', "tool.kubelet: either `package` or `main`"),
        (MODULE + TOOL.replace("package", "#"), "tool.kubelet: either `package` or `main`"),
        (MODULE + TOOL.replace('["kubernetes"]', '["kubernetis"]'), "tool.kubelet: `modules` must name"),
        (MODULE + TOOL.replace('["kubernetes"]', "[]"), "tool.kubelet: `modules` must name"),
        (MODULE + TOOL.replace("group", "groups"), "tool.kubelet: group missing"),
        (MODULE + TOOL + 'ldflags = ["v={helm}"]\n', "ldflags name 'helm', which is nothing of its modules"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        read_plan(text)


def test_names_and_groups_choose_each_tool_once(pinned: Plan) -> None:
    chosen = [tool.name for tool in pinned.choose(["helm", "api", "etcd"])]
    assert chosen == ["helm", "etcd", "kube-apiserver"]


def test_a_word_that_chooses_nothing_is_an_error_that_says_what_there_is(pinned: Plan) -> None:
    with pytest.raises(PlanError, match=r"no tool or group is named 'helm2'; there are: api, render, cluster, etcd"):
        pinned.choose(["api", "helm2"])


def test_what_is_built_by_default_is_there(pinned: Plan) -> None:
    assert {tool.group for tool in pinned.choose(DEFAULT)} == set(DEFAULT)


def test_own_go_files_are_all_used(pinned: Plan) -> None:
    used = {tool.main for tool in pinned.tools.values() if tool.main}
    assert used == {path.name for path in MAINS.iterdir()}
    assert all(read_mains(tool, MAINS).count("package main") for tool in pinned.tools.values() if tool.main)


def test_the_key_follows_whatever_changes_the_program() -> None:
    tool = kubelet()
    module = tool.modules[0]
    variants = [
        (tool, "", "linux/x86_64"),
        (tool, "", "linux/aarch64"),
        (tool, "package main", "linux/x86_64"),
        (dataclasses.replace(tool, ldflags=("a=b",)), "", "linux/x86_64"),
        (dataclasses.replace(tool, modules=(dataclasses.replace(module, version="v1.34.3"),)), "", "linux/x86_64"),
        (dataclasses.replace(tool, modules=(dataclasses.replace(module, sum="h1:other="),)), "", "linux/x86_64"),
    ]
    assert len({key(*variant) for variant in variants}) == len(variants)
    assert key(*variants[0]) == key(kubelet(), "", "linux/x86_64")
