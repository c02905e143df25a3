"""Managed policies by a part of their name.

``ListPolicies`` has no search, and AWS's own policies are many: they are searched in the
catalogue by their names, and only those that are shown are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from broker.administration.reading import list_all
from broker.console.visit import Visit
from broker.kinds.managed_policies import aws_managed_arns, find_aws_managed


class FoundPolicies:
    """Policies that were found, by ARN: the account's own first, each by name."""

    def __init__(
        self, rows: Mapping[str, Mapping[str, Any]], arns: Sequence[str]
    ) -> None:
        self._rows = rows
        self.arns = arns

    def row(self, arn: str) -> Mapping[str, Any]:
        """What ``ListPolicies`` says of a policy, as far as pages show it."""
        return self._rows.get(arn) or _unused(arn)


async def search_policies(
    visit: Visit, search: str, *, scope: str = "All", attached: bool = False
) -> FoundPolicies:
    """Find policies; ``scope`` is that of ``ListPolicies``.

    Raises:
        BrokerError: Policies may not be listed.
    """
    rows: dict[str, Mapping[str, Any]] = {}
    arns: list[str] = []
    text = search.lower()
    if scope != "AWS":
        own = await list_all(
            visit, "ListPolicies", "Policies", Scope="Local", OnlyAttached=attached
        )
        rows |= {entry["Arn"]: entry for entry in own}
        arns += sorted(filter_names(rows, text), key=_by_name)
    if scope != "Local":
        used = await list_all(
            visit, "ListPolicies", "Policies", Scope="AWS", OnlyAttached=True
        )
        rows |= {entry["Arn"]: entry for entry in used}
        listed = {entry["Arn"] for entry in used}
        if not attached:
            listed |= set(aws_managed_arns())
        arns += sorted(filter_names(listed, text), key=_by_name)
    return FoundPolicies(rows, arns)


def filter_names(arns: Mapping[str, object] | set[str], text: str) -> list[str]:
    """The ARNs whose names have a lower-case text in them."""
    return [arn for arn in arns if text in _by_name(arn)]


def _by_name(arn: str) -> str:
    return arn.rpartition("/")[2].lower()


def _unused(arn: str) -> Mapping[str, Any]:
    policy = find_aws_managed(arn)
    if policy is None:
        raise LookupError(arn)
    return {
        "Arn": arn,
        "PolicyName": policy.name,
        "Path": policy.path,
        "DefaultVersionId": policy.default_version.version_id,
        "AttachmentCount": 0,
        "PermissionsBoundaryUsageCount": 0,
        "UpdateDate": policy.updated_at,
    }
