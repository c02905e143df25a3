"""The texts of a principal's policies, by the names used in simulation results.

They are read with the user's own permissions; a refusal ends the reading.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from broker.console.visit import Visit
from broker.errors import AccessDenied, NoSuchEntity

_TEXTS_MAX = 40
_NOUNS = {"user": "User", "role": "Role", "group": "Group"}


class PolicyTexts(Struct, frozen=True):
    """Policy texts by name; ``refused`` says which permission was missing."""

    own: Mapping[str, str]
    boundary: Mapping[str, str] = {}
    refused: str = ""

    @property
    def found(self) -> dict[str, str]:
        """All texts by name, the boundary's included."""
        return {**self.own, **self.boundary}


async def read_texts(visit: Visit, kind: str, name: str) -> PolicyTexts:
    """Read a principal's inline and attached policies, and those of a user's groups."""
    own: dict[str, str] = {}
    boundary: dict[str, str] = {}
    try:
        owners = [(kind, name)]
        if kind == "user":
            listed = await visit.iam("ListGroupsForUser", UserName=name)
            owners += [("group", group["GroupName"]) for group in listed["Groups"]]
        for one_kind, one_name in owners:
            await _read_owner(visit, one_kind, one_name, own)
        await _read_boundary(visit, kind, name, boundary)
    except AccessDenied as error:
        return PolicyTexts({}, refused=error.words)
    return PolicyTexts(own, boundary)


async def _read_owner(
    visit: Visit, kind: str, name: str, results: dict[str, str]
) -> None:
    noun = _NOUNS[kind]
    owner = {f"{noun}Name": name}
    listed = await visit.iam(f"List{noun}Policies", **owner)
    for policy in listed["PolicyNames"]:
        if len(results) >= _TEXTS_MAX:
            return
        try:
            read = await visit.iam(f"Get{noun}Policy", PolicyName=policy, **owner)
        except NoSuchEntity:
            continue
        results[f"{kind}_{name}_{policy}"] = unquote(read["PolicyDocument"])
    attached = await visit.iam(f"ListAttached{noun}Policies", **owner)
    for entry in attached["AttachedPolicies"]:
        if len(results) >= _TEXTS_MAX:
            return
        await _read_managed(visit, entry["PolicyArn"], results)


async def _read_boundary(
    visit: Visit, kind: str, name: str, results: dict[str, str]
) -> None:
    if kind == "group":
        return
    noun = _NOUNS[kind]
    owner: Mapping[str, Any] = (await visit.iam(f"Get{noun}", **{f"{noun}Name": name}))[
        noun
    ]
    boundary = owner.get("PermissionsBoundary")
    if boundary:
        await _read_managed(visit, boundary["PermissionsBoundaryArn"], results)


async def _read_managed(visit: Visit, arn: str, results: dict[str, str]) -> None:
    try:
        policy = (await visit.iam("GetPolicy", PolicyArn=arn))["Policy"]
        version = await visit.iam(
            "GetPolicyVersion", PolicyArn=arn, VersionId=policy["DefaultVersionId"]
        )
    except NoSuchEntity:
        return
    results[policy["PolicyName"]] = unquote(version["PolicyVersion"]["Document"])


def lowered(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The texts by lower-case name: IAM compares names ignoring case."""
    return ((name.lower(), text) for name, text in texts.items())
