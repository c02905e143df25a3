"""Who a resource's policies can tell apart: a principal of each class.

`PrincipalTest` only asks whether a principal's names are in its lists. So those that the
policies name, and a stranger of each kind in each account that they name and in another,
stand for all.
"""

from collections.abc import Iterable, Iterator
from itertools import product

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.principal import Principal, PrincipalType
from broker.policy.document import Principals
from broker.policy.principal import find_account
from broker.policy.proofs.question import Facts
from broker.policy.proofs.work import Undecided

CLASSES_MAX = 400
"""Classes of one check."""

_USER_ID, _ROLE_ID = "AIDASTRANGERSTRANGER", "AROASTRANGERSTRANGER"
_STRANGER = "stranger"
_STRANGE_SERVICE = "stranger.amazonaws.com"


class PrincipalClass(Struct, frozen=True):
    """A principal, what is known of its requests, and whether policies do not name it.

    A stranger's own names can be any: they are not among the facts.
    """

    principal: Principal
    facts: Facts
    stranger: bool


def list_classes(elements: Iterable[Principals]) -> tuple[PrincipalClass, ...]:
    """A principal of each class that ``Principal`` and ``NotPrincipal`` can tell apart.

    Raises:
        Undecided: there are more than `CLASSES_MAX`.
    """
    listed = tuple(elements)
    aws = list(dict.fromkeys(value for e in listed for value in e.aws))
    names = [value for value in aws if value.startswith("arn:")]
    accounts = [a for a in map(find_account, aws) if a is not None]
    accounts += [name.split(":")[4] for name in names]
    named = list(dict.fromkeys(map(AccountId, accounts)))
    other = next(
        AccountId(f"{number:012}")
        for number in range(999_999_999_999, 0, -1)
        if AccountId(f"{number:012}") not in named
    )
    ids = [value for value in aws if value.startswith(("AIDA", "AROA"))]
    results = [
        *_strangers(other, known=False),
        *(entry for account in named for entry in _strangers(account, known=True)),
    ]
    for name in names:
        results += _of_name(name, names, ids)
    for account, unique_id in product([*named, other], ids):
        results += _of_id(account, unique_id)
    federated = [value for e in listed for value in e.federated]
    for provider in dict.fromkeys(federated):
        results += _federated(named[0] if named else other, provider, stranger=False)
    results += _federated(
        other, f"arn:aws:iam::{other}:oidc-provider/stranger.example", stranger=True
    )
    services = [value for e in listed for value in e.service]
    for service in dict.fromkeys([*services, _STRANGE_SERVICE]):
        principal = Principal.aws_service(
            other,
            service=service,
            arn=f"arn:aws:ec2:us-east-1:{other}:instance/i-0",
            name=service,
        )
        results.append(PrincipalClass(principal, {}, service == _STRANGE_SERVICE))
    if len(results) > CLASSES_MAX:
        raise Undecided("the policies name too many principals")
    return tuple(results)


def anonymous(account: AccountId) -> PrincipalClass:
    """A caller who signs nothing."""
    principal = Principal(
        type=PrincipalType.ANONYMOUS,
        account=account,
        arn="",
        principal_arn="",
        userid="",
        unique_id="",
    )
    absent = ("principalarn", "principalaccount", "userid", "username")
    return PrincipalClass(
        principal, {f"aws:{key}": () for key in absent}, stranger=True
    )


def _strangers(account: AccountId, *, known: bool) -> Iterator[PrincipalClass]:
    """Those of an account whom policies do not name, and its root."""
    people = (
        Principal.user(account, user_id=_USER_ID, path="/", name=_STRANGER),
        Principal.role_session(
            account,
            role_id=_ROLE_ID,
            path="/",
            role_name=_STRANGER,
            session_name=_STRANGER,
        ),
        Principal.federated_user(account, name=_STRANGER, issuer=None),
        Principal.root(account),
    )
    for principal in people:
        facts = {"aws:principaltype": (principal.type.value,)}
        if known:
            facts["aws:principalaccount"] = (account,)
        yield PrincipalClass(principal, facts, stranger=not known)
    if not known:
        yield anonymous(account)


def _of_name(name: str, names: list[str], ids: list[str]) -> Iterator[PrincipalClass]:
    """Those with an ARN; they can have any of the unique ids as well."""
    _, _, _, _, account_text, resource = name.split(":", 5)
    account = AccountId(account_text)
    kind, _, rest = resource.partition("/")
    path, _, last = rest.rpartition("/")
    folder = f"/{path}/" if path else "/"
    if kind == "user":
        for user_id in (_USER_ID, *(i for i in ids if i.startswith("AIDA"))):
            yield _known(
                Principal.user(account, user_id=user_id, path=folder, name=last)
            )
    elif kind == "federated-user":
        yield _known(Principal.federated_user(account, name=rest, issuer=None))
    elif kind == "role":
        sessions = [_STRANGER]
        begin = f"arn:aws:sts::{account}:assumed-role/{last}/"
        sessions += [n.removeprefix(begin) for n in names if n.startswith(begin)]
        yield from _sessions(account, folder, last, sessions, ids)
    elif kind == "assumed-role":
        role, _, session = rest.partition("/")
        yield from _sessions(account, "/", role, [session], ids)
        yield from _sessions(account, "/elsewhere/", role, [session], ids)


def _sessions(
    account: AccountId, path: str, role: str, sessions: list[str], ids: list[str]
) -> Iterator[PrincipalClass]:
    role_ids = (_ROLE_ID, *(i for i in ids if i.startswith("AROA")))
    for session, role_id in product(sessions, role_ids):
        yield _known(
            Principal.role_session(
                account,
                role_id=role_id,
                path=path,
                role_name=role,
                session_name=session,
            )
        )


def _of_id(account: AccountId, unique_id: str) -> Iterator[PrincipalClass]:
    """Those with a unique id and a name that policies do not have."""
    if unique_id.startswith("AIDA"):
        principal = Principal.user(account, user_id=unique_id, path="/", name=_STRANGER)
    else:
        principal = Principal.role_session(
            account,
            role_id=unique_id,
            path="/",
            role_name=_STRANGER,
            session_name=_STRANGER,
        )
    facts = {"aws:principaltype": (principal.type.value,)}
    yield PrincipalClass(principal, facts, stranger=False)


def _known(principal: Principal) -> PrincipalClass:
    """One whose ARN and account are known; what else it brings can be any."""
    facts: dict[str, tuple[str, ...]] = {
        "aws:principaltype": (principal.type.value,),
        "aws:principalaccount": (principal.account,),
    }
    if not principal.principal_arn.startswith("arn:aws:iam::") or (
        "/elsewhere/" not in principal.principal_arn
    ):
        facts["aws:principalarn"] = (principal.principal_arn,)
    return PrincipalClass(principal, facts, stranger=False)


def _federated(
    account: AccountId, provider: str, *, stranger: bool
) -> Iterator[PrincipalClass]:
    for kind in PrincipalType:
        if kind.is_federated:
            principal = Principal.from_provider(
                kind, account, provider=provider, subject=_STRANGER
            )
            yield PrincipalClass(principal, {}, stranger)
