"""The policies of a user or group: attached, inline, and the permissions boundary.

The same pages serve both; a group has no boundary. Inline policies are edited in
`embedded_policies`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration.buttons import Act, Button, Buttons, typed
from broker.administration.embedded_policies import INLINE
from broker.administration.policy_search import search_policies
from broker.administration.reading import PageReader
from broker.console.visit import BOTH, PageRoute, Visit, address

_FOR_SERVICES = ":iam::aws:policy/aws-service-role/"
_FOUND_MAX = 30


class HolderKind(Struct, frozen=True):
    """How a kind of owner is named in actions, paths and the menu."""

    noun: str
    here: str
    has_boundary: bool

    @property
    def base(self) -> str:
        """The path of its pages."""
        return f"/console/{self.here}"

    def parameter(self, name: str) -> dict[str, str]:
        """The action parameter that names an owner."""
        return {f"{self.noun}Name": name}


USER = HolderKind("User", "users", has_boundary=True)
GROUP = HolderKind("Group", "groups", has_boundary=False)


class _HolderPages:
    def __init__(self, kind: HolderKind) -> None:
        self._kind = kind
        self.permissions = f"{kind.base}/permissions"
        self.attach = f"{kind.base}/attach"
        self.inline = address(INLINE, kind=kind.noun.lower())

    def routes(self) -> Iterable[PageRoute]:
        here = self._kind.here
        yield PageRoute(self.permissions, here, self.page, BOTH)
        yield PageRoute(self.attach, here, self.choose, BOTH)

    async def page(self, visit: Visit) -> Response:
        """The owner's policies; a POST detaches or deletes one."""
        kind, name = self._kind, visit.form.require("name")
        if isinstance(done := await self.buttons.press(visit, name), Response):
            return done
        owner = await self._read(visit, name)
        reader = PageReader(visit)
        params = kind.parameter(name)
        groups: list[Any] = []
        if kind is USER:
            groups = await reader.list_all("ListGroupsForUser", "Groups", **params)
        return await visit.show(
            "admin/holdings.html",
            kind=kind,
            owner=owner,
            name=owner[f"{kind.noun}Name"],
            pages=self,
            attached=await reader.list_all(
                f"ListAttached{kind.noun}Policies", "AttachedPolicies", **params
            ),
            inline=await reader.list_all(
                f"List{kind.noun}Policies", "PolicyNames", **params
            ),
            boundary=owner.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
            groups=[group["GroupName"] for group in groups],
            refused=reader.refused,
        )

    async def choose(self, visit: Visit) -> Response:
        """Search all policies; a POST attaches one or sets it as the boundary."""
        kind, name = self._kind, visit.form.require("name")
        search = visit.text("q")[:128]
        as_boundary = kind.has_boundary and visit.text("as") == "boundary"
        if visit.posted:
            arn = visit.text("arn")
            with visit.attempt():
                if as_boundary:
                    await visit.iam(
                        f"Put{kind.noun}PermissionsBoundary",
                        **kind.parameter(name),
                        PermissionsBoundary=arn,
                    )
                else:
                    await visit.iam(
                        f"Attach{kind.noun}Policy",
                        **kind.parameter(name),
                        PolicyArn=arn,
                    )
                return visit.done(
                    "Saved.", self.permissions, arn.rpartition("/")[2], name=name
                )
        owner = await self._read(visit, name)
        policies = await search_policies(visit, search)
        # An exact match first, then the account's own policies.
        arns = sorted(
            (arn for arn in policies.arns if _FOR_SERVICES not in arn),
            key=lambda arn: arn.rpartition("/")[2].lower() != search.lower(),
        )
        return await visit.show(
            "admin/holdings_attach.html",
            kind=kind,
            owner=owner,
            name=owner[f"{kind.noun}Name"],
            pages=self,
            search=search,
            as_boundary=as_boundary,
            found=[policies.row(arn) for arn in arns[:_FOUND_MAX]],
            more=max(0, len(arns) - _FOUND_MAX),
        )

    async def _read(self, visit: Visit, name: str) -> Mapping[str, Any]:
        kind = self._kind
        few = 1 if kind is GROUP else None
        answer = await visit.iam(
            f"Get{kind.noun}", **kind.parameter(name), MaxItems=few
        )
        results: Mapping[str, Any] = answer[kind.noun]
        return results

    @property
    def buttons(self) -> Buttons:
        """The buttons of the page of policies."""
        noun, arn = self._kind.noun, typed("arn")
        known: dict[str, Button | Act] = {
            "detach": Button(f"Detach{noun}Policy", {"PolicyArn": arn}),
            "delete": Button(f"Delete{noun}Policy", {"PolicyName": typed("policy")}),
        }
        if self._kind.has_boundary:
            known["unbound"] = Button(f"Delete{noun}PermissionsBoundary")
        return Buttons(path=self.permissions, member=f"{noun}Name", known=known)


PAGES = tuple(route for kind in (USER, GROUP) for route in _HolderPages(kind).routes())
