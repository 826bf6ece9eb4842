"""Roles and their inline policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.cluster.clouds.aws_calls import asked, comparable, document
from tests.cluster.clouds.managed import CloudError, Managed, Manifest, Observation, differing


class Role:
    """A role without the policies that are objects of their own."""

    def __init__(self, iam: Any) -> None:
        self._iam = iam

    def observe(self, managed: Managed) -> Observation | None:
        answer = asked(self._iam.get_role, RoleName=managed.external_name)
        if answer is None:
            return None
        role = answer["Role"]
        found: Manifest = {
            "arn": role["Arn"],
            "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description", ""),
            "id": role["RoleName"],
            "maxSessionDuration": role["MaxSessionDuration"],
            "path": role["Path"],
            "tags": {each["Key"]: each["Value"] for each in role.get("Tags", ())},
            "uniqueId": role["RoleId"],
        }
        if boundary := role.get("PermissionsBoundary"):
            found["permissionsBoundary"] = boundary["PermissionsBoundaryArn"]
        same = not differing(comparable(managed.wanted), comparable(found))
        late = {} if "maxSessionDuration" in managed.wanted else {"maxSessionDuration": found["maxSessionDuration"]}
        return Observation(found, same, late)

    def create(self, managed: Managed) -> str:
        wanted, name = managed.wanted, str(managed.external_name)
        boundary = wanted.get("permissionsBoundary")
        asked(
            self._iam.create_role,
            RoleName=name,
            Path=wanted.get("path", "/"),
            AssumeRolePolicyDocument=wanted["assumeRolePolicy"],
            Description=wanted.get("description", ""),
            Tags=_tags(wanted.get("tags", {})),
            **({} if boundary is None else {"PermissionsBoundary": boundary}),
        )
        return name

    def update(self, managed: Managed) -> None:
        wanted, name = managed.wanted, managed.external_name
        if wanted.get("path", "/") != managed.at_provider.get("path"):
            raise CloudError(f"role {name}: the path cannot be changed")
        asked(self._iam.update_assume_role_policy, RoleName=name, PolicyDocument=wanted["assumeRolePolicy"])
        asked(self._iam.update_role, RoleName=name, Description=wanted.get("description", ""))
        if "permissionsBoundary" in wanted:
            arn = wanted["permissionsBoundary"]
            asked(self._iam.put_role_permissions_boundary, RoleName=name, PermissionsBoundary=arn)
        tags, found = wanted.get("tags", {}), managed.at_provider.get("tags", {})
        if surplus := sorted(found.keys() - tags.keys()):
            asked(self._iam.untag_role, RoleName=name, TagKeys=surplus)
        if tags:
            asked(self._iam.tag_role, RoleName=name, Tags=_tags(tags))

    def delete(self, managed: Managed) -> None:
        """Without its inline policies, which are objects of their own: while one is there, IAM refuses."""
        asked(self._iam.delete_role, RoleName=managed.external_name)


class RolePolicy:
    """One inline policy of a role."""

    def __init__(self, iam: Any) -> None:
        self._iam = iam

    def observe(self, managed: Managed) -> Observation | None:
        role, name = managed.wanted["role"], managed.external_name
        answer = asked(self._iam.get_role_policy, RoleName=role, PolicyName=name)
        if answer is None:
            return None
        there = answer["PolicyDocument"]
        at_provider = {"id": f"{role}:{name}", "role": role, "policy": json.dumps(there)}
        return Observation(at_provider, there == document(managed.wanted["policy"]))

    def create(self, managed: Managed) -> str:
        self.update(managed)
        return str(managed.external_name)

    def update(self, managed: Managed) -> None:
        role, policy = managed.wanted["role"], managed.wanted["policy"]
        answer = asked(
            self._iam.put_role_policy, RoleName=role, PolicyName=managed.external_name, PolicyDocument=policy
        )
        if answer is None:
            raise CloudError(f"there is no role {role}")

    def delete(self, managed: Managed) -> None:
        asked(self._iam.delete_role_policy, RoleName=managed.wanted["role"], PolicyName=managed.external_name)


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
