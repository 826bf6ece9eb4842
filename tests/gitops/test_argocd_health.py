"""Argo CD's health checks, executed by Lua 5.1, which is the language of the one in Argo CD."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime
from tests.gitops.building import GITOPS, build, one
from tests.gitops.cases import CASES, Case

HEALTH = GITOPS / "argocd" / "health"
STATUSES = {"Healthy", "Progressing", "Degraded", "Suspended"}


def _keys(kind: str) -> dict[str, str]:
    """Return key of Argo CD's ConfigMap -> file or value, as the kustomization has it."""
    (generated,) = yaml.safe_load((HEALTH / "kustomization.yaml").read_text())["configMapGenerator"]
    return dict(entry.split("=") for entry in generated[kind])


KEYS = _keys("files")
# A check has base and table, and the rest of Lua only where it is asked for.
CLOSED = "getmetatable('').__index = nil; string, math, coroutine, bit, jit = nil"


def _health(manifest: dict[str, Any]) -> tuple[str, str | None]:
    group = manifest["apiVersion"].rpartition("/")[0]
    script = (HEALTH / KEYS[f"resource.customizations.health.{group}_{manifest['kind']}"]).read_text()
    lua = LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    if _keys("literals").get(f"resource.customizations.useOpenLibs.{group}_{manifest['kind']}") != "true":
        lua.execute(CLOSED)
    lua.execute("os, io, debug, package, require, loadfile, dofile, python = nil")
    lua.globals()["obj"] = lua.table_from(manifest, recursive=True)
    found = lua.execute(script)
    return found["status"], found["message"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_health(case: Case) -> None:
    status, message = _health(case.object)
    assert status == case.argocd, message
    assert case.says in (message or "")


@pytest.mark.parametrize("key", KEYS)
def test_each_check_has_cases(key: str) -> None:
    group, _, kind = key.removeprefix("resource.customizations.health.").rpartition("_")
    cases = [case for case in CASES if (case.object["apiVersion"].split("/")[0], case.object["kind"]) == (group, kind)]
    assert cases
    assert {case.argocd for case in cases} <= STATUSES


def test_each_check_is_in_the_config_map() -> None:
    data = one(build("argocd/health"), "ConfigMap", "argocd-cm")["data"]
    assert {key for key in data if key.startswith("resource.customizations.health.")} == set(KEYS)
    assert {path.name for path in HEALTH.glob("*.lua")} == set(KEYS.values())
    for key, file in KEYS.items():
        assert data[key] == (HEALTH / file).read_text()


def test_every_answer_is_one_that_argo_cd_knows() -> None:
    for path in HEALTH.glob("*.lua"):
        assert set(re.findall(r'{status = "(\w+)"', path.read_text())) <= STATUSES, path.name
