"""What a new administrator has left to do, until it is done or put away.

A step is done by what the account has, and only those who may see all of that are led.
Only the operator knows whether there is a backup, so that step is ticked off.
"""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct
from starlette.responses import Response

from broker.console.context import HOME
from broker.console.over_time import sum_by_name
from broker.console.recent_roles import ListOfUser, name_of_session
from broker.console.visit import Visit
from broker.errors import AccessDenied, NoSuchEntity
from broker.model.audit import RecordKind

_ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
_NEEDED = (
    "iam:ListSAMLProviders",
    "iam:ListOpenIDConnectProviders",
    "iam:ListRoles",
    "iam:ListEntitiesForPolicy",
    "cloudtrail:LookupEvents",
)
_HIDDEN, _BACKUP = "all", "backup"
_LIFE = timedelta(days=365)
_LOOKED = timedelta(days=30)
_ENOUGH = 2
_PROVIDERS_MAX = 8


_STEPS = (
    (
        "Add an identity provider",
        "It signs in the people and workloads that use the account.",
        *("/console/providers", "recipes/index.html"),
    ),
    (
        "Create a role that trusts the provider",
        "Its policies say what those who sign in can do.",
        *("/console/roles/new", "recipes/index.html"),
    ),
    (
        "Sign in once with the provider",
        "If it is refused, Diagnose shows each check.",
        *("/console/providers/diagnose", "guide/getting-started.html"),
    ),
    (
        "Appoint a second administrator",
        "Attach AdministratorAccess to two users, groups or roles.",
        f"/console/policies/policy?arn={_ADMINISTRATOR}#used",
        "operating/administrators.html#a-second-administrator",
    ),
    (
        "Back up the database and the master key",
        "Each is useless without the other. Store them in different places.",
        *("", "running/backup.html"),
    ),
)


class FirstStep(Struct, frozen=True):
    """A step: the page where one does it, if the broker sees that, and its recipe."""

    title: str
    about: str
    page: str
    recipe: str
    done: bool


async def find_steps(visit: Visit) -> tuple[FirstStep, ...]:
    """The steps, if any of them is left for this session to do."""
    if not {*_NEEDED} <= await visit.frame.possible(visit.request, visit.who, _NEEDED):
        return ()
    put_away = await _put_away(visit).find(name_of_session(visit.who.session))
    if _HIDDEN in put_away:
        return ()
    try:
        steps = await _read(visit, backed_up=_BACKUP in put_away)
    except (AccessDenied, NoSuchEntity):
        return ()
    return () if all(step.done for step in steps) else steps


async def put_away(visit: Visit) -> Response:
    """``POST /console/first-steps``: tick a step off, or show none any more."""
    lists, name = _put_away(visit), name_of_session(visit.who.session)
    what = _BACKUP if visit.text("do") == _BACKUP else _HIDDEN
    await lists.put(name, {*await lists.read(name), what})
    return visit.done("Saved.", HOME)


async def _any_trusted(visit: Visit, providers: Sequence[str]) -> bool:
    """Whether a role trusts one of the providers; a few stand for many."""
    for arn in providers[:_PROVIDERS_MAX]:
        roles = await visit.perform("signin", "ListTrustingRoles", ProviderArn=arn)
        if roles["Roles"]:
            return True
    return False


def _put_away(visit: Visit) -> ListOfUser:
    return ListOfUser(visit.deps, "first-steps", _LIFE)


async def _read(visit: Visit, *, backed_up: bool) -> tuple[FirstStep, ...]:
    saml = await visit.iam("ListSAMLProviders")
    oidc = await visit.iam("ListOpenIDConnectProviders")
    directories = await visit.perform("broker", "ListLDAPProviders")
    providers = [
        *saml["SAMLProviderList"],
        *oidc["OpenIDConnectProviderList"],
        *directories["LDAPProviders"],
    ]
    held = await visit.iam(
        "ListEntitiesForPolicy", PolicyArn=_ADMINISTRATOR, MaxItems=_ENOUGH
    )
    counted = await visit.perform(
        "signin", "GetActivity", StartTime=visit.now - _LOOKED, BucketHours=24
    )
    sign_ins = sum_by_name(counted["Activity"], [RecordKind.SIGN_IN])
    administrators = sum(
        len(held[f"Policy{noun}s"]) for noun in ("User", "Group", "Role")
    )
    done = (
        bool(providers),
        await _any_trusted(visit, [provider["Arn"] for provider in providers]),
        any("-provider/" in name for name in sign_ins),
        administrators >= _ENOUGH,
        backed_up,
    )
    return tuple(
        FirstStep(*texts, is_done) for texts, is_done in zip(_STEPS, done, strict=True)
    )
