"""*Roles*: the list, with when each was last used, and the page of one role."""

import re
from operator import itemgetter
from urllib.parse import unquote

from starlette.responses import Response

from broker.actions.signin.lookup_events import LookupEventsRequest
from broker.administration.buttons import Button, Buttons, kept, tag_buttons, typed
from broker.administration.deletion import remove_role
from broker.administration.listing import (
    READ_MAX,
    Deletion,
    Found,
    ListPage,
    PagePart,
    Query,
    read_part,
)
from broker.administration.policies import DETAIL as POLICY
from broker.administration.policy_editor import format_text
from broker.administration.reading import list_all
from broker.administration.trust_words import TrustLine, trust_lines
from broker.administration.upstreams import find_upstream_of
from broker.console.pages.sessions import SEARCHED_MAX, end_session
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied, ValidationError
from broker.model.arn import iam_arn
from broker.model.audit import AuditRecord
from broker.model.machines import SERVICE_ROLE_PATH
from broker.model.revocation import OLDER_SESSIONS, deny_older_sessions
from broker.policy import PolicyKind, PolicyRejected, parse_policy
from broker.sessions.listing import SessionStatus
from broker.stores.cache.port import SessionRecord

SECTION = "roles"
LIST = "/console/roles"

DETAIL = "/console/roles/role"
ASSUMERS = "/console/roles/who"
_MINUTES = re.compile(r"[0-9]{1,4}")
_SHOWN_SESSIONS = 20
_SHOWN_MINTS = 40
_ENOUGH_MINTS = 20
_PAGES_MAX = 5
_MINTS = (
    *("sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"),
)


async def _read(visit: Visit, query: Query) -> Found:
    try:
        result = await visit.perform(
            "signin", "ListRoleOverviews", NamePart=query.search, MaxItems=READ_MAX
        )
    except AccessDenied:
        # Listing roles does not imply GetRole, which shows the last use.
        return Found(await list_all(visit, "ListRoles", "Roles"), sortable=False)
    rows = [
        {
            "RoleName": role.name,
            "Path": role.path,
            "Description": role.description or "",
            "CreateDate": role.created_at,
            **used,
        }
        for role, used in result["Roles"]
    ]
    return Found(rows, cut=result["Marker"] is not None)


_LIST = ListPage(
    path=LIST,
    here=SECTION,
    template="admin/roles.html",
    read=_read,
    searched=lambda role: f"{role['RoleName']}\n{role.get('Description', '')}",
    by={
        "name": lambda role: role["RoleName"].lower(),
        "used": lambda role: role.get("LastUsedDate"),
        "path": lambda role: (role["Path"], role["RoleName"].lower()),
        "created": itemgetter("CreateDate"),
    },
    deletion=Deletion(
        "role",
        "RoleName",
        (
            (
                "Each role is deleted with its inline policies; managed policies are detached,"
                " and it is removed from its instance profiles."
            ),
            "Sessions of these roles end at once.",
            (
                "Trust policies and resource policies that name the roles stay, and stop"
                " matching: a new role of the same name is another one."
            ),
            "This cannot be undone.",
        ),
        remove_role,
    ),
)


async def _page(visit: Visit) -> Response:
    name = visit.text("name")[:128]
    if isinstance(done := await _BUTTONS.press(visit, name), Response):
        return done
    role = (await visit.iam("GetRole", RoleName=name))["Role"]
    trust = unquote(role["AssumeRolePolicyDocument"])
    return await visit.show(
        "admin/role.html",
        role=role,
        linked=role["Path"].startswith(SERVICE_ROLE_PATH),
        trust=format_text(trust),
        lines=_trust_lines(trust, visit),
        attached=await read_part(visit, "ListAttachedRolePolicies", RoleName=name),
        inline=await read_part(visit, "ListRolePolicies", RoleName=name),
        profiles=await read_part(visit, "ListInstanceProfilesForRole", RoleName=name),
        sessions=await _live_sessions(visit, role["RoleName"], role["RoleId"]),
        shown_sessions=_SHOWN_SESSIONS,
        policy_page=POLICY,
        values=kept(visit, "policy", "tags", "boundary", "description", "minutes"),
        boundary=role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
        revoked=OLDER_SESSIONS,
        upstream=await find_upstream_of(visit, role["RoleName"]),
    )


async def _settings(visit: Visit, name: str) -> None:
    await visit.iam(
        "UpdateRole",
        RoleName=name,
        Description=visit.text("description"),
        # A service-linked role's page does not ask for it.
        **(
            {"MaxSessionDuration": session_seconds(minutes)}
            if (minutes := visit.form.find("minutes")) is not None
            else {}
        ),
    )


async def _boundary(visit: Visit, name: str) -> None:
    boundary = visit.text("boundary")
    if boundary:
        await visit.iam(
            "PutRolePermissionsBoundary",
            RoleName=name,
            PermissionsBoundary=policy_arn(boundary, visit),
        )
    else:
        await visit.iam("DeleteRolePermissionsBoundary", RoleName=name)


async def _revoke_older(visit: Visit, name: str) -> None:
    """Revoke sessions issued until now, with the policy that AWS's console uses."""
    await visit.iam(
        "PutRolePolicy",
        RoleName=name,
        PolicyName=OLDER_SESSIONS,
        PolicyDocument=deny_older_sessions(visit.now),
    )


async def _end_session(visit: Visit, name: str) -> None:
    whose = _role_of_sessions(visit, name)
    await end_session(visit, visit.text("key")[:128], principalArn=whose)


def _role_of_sessions(visit: Visit, name: str) -> str:
    """The role as Sign-In names it."""
    return iam_arn(visit.who.session.account, f"role/{name}")


async def _delete(visit: Visit, name: str) -> Response:
    role = (await visit.iam("GetRole", RoleName=name))["Role"]
    if visit.text("sure") != role["RoleName"]:
        raise ValidationError("Type the role's name to delete it.")
    await remove_role(visit, name)
    return visit.done(f"Role {name} deleted.", LIST)


async def _move(visit: Visit, name: str) -> None:
    arn = policy_arn(visit.text("policy"), visit)
    verb = visit.text("do").capitalize()
    await visit.iam(f"{verb}RolePolicy", RoleName=name, PolicyArn=arn)


_BUTTONS = Buttons(
    makes={"attach": "policy"},
    path=DETAIL,
    member="RoleName",
    known={
        **tag_buttons("Role"),
        "settings": _settings,
        "boundary": _boundary,
        "attach": _move,
        "detach": _move,
        "delete-inline": Button("DeleteRolePolicy", {"PolicyName": typed("policy")}),
        "revoke-older": _revoke_older,
        "end-session": _end_session,
        "delete": _delete,
    },
)


async def _who(visit: Visit) -> Response:
    name = visit.text("name")[:128]
    role = (await visit.iam("GetRole", RoleName=name))["Role"]
    trust = unquote(role["AssumeRolePolicyDocument"])
    return await visit.show(
        "admin/role_who.html",
        role=role,
        lines=_trust_lines(trust, visit),
        assumers=await read_part(
            visit, "ListRoleAssumers", service="signin", RoleName=name
        ),
        mints=await _mints(visit, role["Arn"]),
    )


async def _mints(visit: Visit, role_arn: str) -> PagePart:
    """The role's newest mints, among the account's newest of each kind."""
    records: list[AuditRecord] = []
    try:
        for action in _MINTS:
            records += await _mints_by(visit, action, role_arn)
    except AccessDenied as error:
        return PagePart(None, error.words)
    records.sort(key=lambda record: record.at, reverse=True)
    return PagePart({"Events": records[:_SHOWN_MINTS]})


async def _mints_by(visit: Visit, action: str, role_arn: str) -> list[AuditRecord]:
    """Mints by one action; reads further pages while it has found few."""
    records: list[AuditRecord] = []
    marker = ""
    for _ in range(_PAGES_MAX):
        values = LookupEventsRequest(Action=action, NextToken=marker)
        result = await visit.perform("cloudtrail", "LookupEvents", **values)
        records += (
            record for record in result["Events"] if role_arn in record.resources
        )
        marker = result["NextToken"] or ""
        if not marker or len(records) >= _ENOUGH_MINTS:
            break
    return records


async def _live_sessions(visit: Visit, name: str, role_id: str) -> PagePart:
    try:
        result = await visit.perform(
            *("signin", "ListSessions"),
            principalArn=_role_of_sessions(visit, name),
            status=SessionStatus.ACTIVE,
            maxResults=SEARCHED_MAX,
        )
    except AccessDenied as error:
        return PagePart(None, error.words)
    records: list[SessionRecord] = [listed.record for listed in result["Sessions"]]
    # A role of the same name may have been deleted.
    mine = [record for record in records if record.principal_id == role_id]
    mine.sort(key=lambda record: -record.issued_at_ms)
    return PagePart({"Sessions": mine})


def policy_arn(name: str, visit: Visit) -> str:
    """The ARN of a policy that is given by ARN, or by its name in the account."""
    if name.startswith("arn:"):
        return name
    return f"arn:aws:iam::{visit.who.session.account}:policy/{name.lstrip('/')}"


def session_seconds(minutes: str) -> int:
    """The maximum session duration in seconds.

    Raises:
        ValidationError: The text is not a number of minutes within IAM's bounds.
    """
    if not _MINUTES.fullmatch(minutes) or not 60 <= int(minutes) <= 720:  # noqa: PLR2004  # IAM's bounds
        raise ValidationError("A session lasts from 60 to 720 minutes.")
    return int(minutes) * 60


def _trust_lines(text: str, visit: Visit) -> tuple[TrustLine, ...]:
    try:
        document = parse_policy(text, PolicyKind.TRUST)
    except PolicyRejected:
        return ()
    return trust_lines(document, visit.who.session.account)


PAGES = (
    _LIST.route(),
    PageRoute(DETAIL, SECTION, _page, BOTH),
    PageRoute(ASSUMERS, SECTION, _who),
)
