import dataclasses

import pytest
from go_tools_plan import Module, PlanError, Tool
from go_tools_wrapper import sums, wrapper

KUBERNETES = Module("kubernetes", "k8s.io/kubernetes", "v1.34.2", "h1:k=", "v0.34.2")
CORE = Module("crossplane", "github.com/crossplane/crossplane/v2", "v2.3.4", "h1:c=")
APIS = Module("crossplane-apis", "github.com/crossplane/crossplane/apis/v2", "v2.3.4", "h1:a=")


def tool(*modules: Module) -> Tool:
    return Tool("x", "render", modules, "cmd/x", "", "x", ())


def test_unpublished_versions_become_published_ones() -> None:
    upstream = {
        "Go": "1.24.0",
        "Require": [
            {"Path": "k8s.io/api", "Version": "v0.0.0"},
            {"Path": "k8s.io/klog/v2", "Version": "v2.130.1"},
        ],
        "Replace": [{"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}}],
    }
    assert wrapper(tool(KUBERNETES), [upstream]) == (
        "module asya.sh/tools/wrapper\n\ngo 1.24.0\n\n"
        "require k8s.io/kubernetes v1.34.2\nreplace k8s.io/api => k8s.io/api v0.34.2\n"
    )


def test_an_unpublished_version_without_a_stand_in_is_an_error() -> None:
    upstream = {"Go": "1.24.0", "Require": [{"Path": "k8s.io/api", "Version": "v0.0.0"}]}
    with pytest.raises(PlanError, match=r"k8s.io/kubernetes requires k8s.io/api v0.0.0: `staging`"):
        wrapper(tool(dataclasses.replace(KUBERNETES, staging="")), [upstream])


def test_replacements_are_repeated_and_those_by_folders_are_not() -> None:
    core = {
        "Go": "1.25.11",
        "Replace": [
            {"Old": {"Path": "a.io/x", "Version": "v1.0.0"}, "New": {"Path": "a.io/y", "Version": "v1.1.0"}},
            {"Old": {"Path": APIS.path}, "New": {"Path": "./apis"}},
            {"Old": {"Path": "a.io/z"}, "New": {"Path": "../z"}},
        ],
    }
    assert wrapper(tool(CORE, APIS), [core, {"Go": "1.25.9"}]).splitlines()[2:] == [
        "go 1.25.11",
        "",
        f"require {CORE.path} v2.3.4",
        f"require {APIS.path} v2.3.4",
        "replace a.io/x v1.0.0 => a.io/y v1.1.0",
    ]


def test_a_module_is_never_replaced_by_what_another_one_says() -> None:
    fork = {"Replace": [{"Old": {"Path": APIS.path}, "New": {"Path": "fork.io/apis", "Version": "v9.0.0"}}]}
    assert "fork.io" not in wrapper(tool(CORE, APIS), [fork, {}])


def test_the_newest_language_version_is_compared_by_numbers() -> None:
    assert "go 1.26.0\n" in wrapper(tool(CORE, APIS), [{"Go": "1.9"}, {"Go": "1.26.0"}])


def test_a_program_without_modules_is_a_module_too() -> None:
    assert wrapper(tool(), []) == "module asya.sh/tools/wrapper\n\ngo 1.21\n\n"


def test_the_sums_are_the_modules_own_and_what_they_lock() -> None:
    text = sums(tool(CORE, APIS), [("h1:c=", "h1:cm="), ("h1:a=", "h1:am=")], ["dep v1 h1:d=\n\n", "dep v1 h1:d=\n"])
    assert text.splitlines() == [
        "dep v1 h1:d=",
        f"{APIS.path} v2.3.4 h1:a=",
        f"{APIS.path} v2.3.4/go.mod h1:am=",
        f"{CORE.path} v2.3.4 h1:c=",
        f"{CORE.path} v2.3.4/go.mod h1:cm=",
    ]
