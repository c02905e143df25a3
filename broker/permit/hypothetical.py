"""Hypothetical requests: who would call, and what the call would need.

What only a real request brings (its address, its parameters, its session's policies)
is absent unless it is given.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from broker.errors import NoSuchEntity, ValidationError
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn, iam_arn
from broker.model.entities import Role, User
from broker.model.principal import Principal, PrincipalType
from broker.model.request import RawRequest
from broker.model.session import Caller
from broker.permit.context import Context, call_context, tag_context
from broker.permit.guard import Guard, Judgement
from broker.permit.need import Need, Trust
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.port import Finder

_ROLE_ACTIONS = frozenset(
    {
        "sts:assumerole",
        "sts:assumerolewithsaml",
        "sts:assumerolewithwebidentity",
        "sts:assumerolewithldapidentity",
        "sts:setsourceidentity",
        "sts:tagsession",
    }
)
_PROVIDERS = {
    "saml-provider": PrincipalType.SAML,
    "oidc-provider": PrincipalType.WEB_IDENTITY,
    "ldap-provider": PrincipalType.LDAP,
}
_WITHOUT_POLICIES = ("iam:", "sts:")
"""Actions on what has no policy of its own, a role's trust policy aside."""

_NETWORK = ("aws:sourceip", "aws:securetransport")
"""Absent, since no request was sent."""

HYPOTHETICAL = "hypothetical"
"""The session name of a hypothetical role session."""

_NO_REQUEST = RawRequest(
    method="POST",
    raw_path=b"/",
    query=b"",
    headers=(),
    body=b"",
    source_ip="",
    secure=False,
)


class Hypothesis(Struct, frozen=True, kw_only=True):
    """The question: may ``principal`` do ``action`` to ``resource``?

    ``context`` has further condition keys, lower-case names.
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]]


class Hypotheses:
    """Decides hypothetical requests by the stored policies."""

    def __init__(self, directory: Finder, guard: Guard) -> None:
        self._directory = directory
        self._guard = guard

    async def judge(
        self, hypothesis: Hypothesis, *, region: str, now: datetime
    ) -> Judgement:
        """The decision, and what it rests on.

        Raises:
            ValidationError: the principal is none that can call.
            NoSuchEntity: there is no such principal.
            AccessDenied: a policy that applies cannot be read.
        """
        caller = await self.get_caller(hypothesis.principal)
        need = await self._need(hypothesis, caller)
        return await self.judge_as(caller, need, region=region, now=now)

    async def judge_as(
        self,
        caller: Caller,
        need: Need,
        *,
        region: str,
        now: datetime,
    ) -> Judgement:
        """The same for a given caller and need.

        Raises:
            AccessDenied: a policy that applies cannot be read.
        """
        context = call_context(caller, _NO_REQUEST, region=region, now=now)
        for key in _NETWORK:
            context.pop(key, None)
        return await self._guard.judge(caller, need, context)

    async def judge_caller(
        self,
        hypothesis: Hypothesis,
        caller: Caller,
        raw: RawRequest,
        *,
        region: str,
        now: datetime,
    ) -> Judgement:
        """The same for a real request's caller, with the condition keys of ``raw``.

        Raises:
            AccessDenied: a policy that applies cannot be read.
        """
        need = await self._need(hypothesis, caller)
        context = call_context(caller, raw, region=region, now=now)
        return await self._guard.judge(caller, need, context)

    async def get_caller(self, text: str) -> Caller:
        """Who a principal's ARN names, without a session's own policies and tags.

        Raises:
            ValidationError: the principal is none that can call.
            NoSuchEntity: there is no such principal.
        """
        try:
            if text.isascii() and text.isdigit():
                return Caller(principal=Principal.root(parse_account_id(text)))
            arn = Arn.parse(text)
            account = parse_account_id(arn.account)
        except ValueError as error:
            raise ValidationError(
                f"{text} is not a principal; write the ARN of a user, role, role session,"
                " identity provider or root"
            ) from error
        kind, _, rest = arn.resource.partition("/")
        name = rest.rpartition("/")[2]
        if arn.resource == "root":
            return Caller(principal=Principal.root(account))
        if kind in {"user", "role"}:
            caller = (
                await self._user(account, name)
                if kind == "user"
                else await self._role(account, name, session_name=HYPOTHETICAL)
            )
            if not is_named(text, caller.principal):
                raise NoSuchEntity(f"There is no principal {text}")
            return caller
        if kind == "assumed-role":
            role_name, _, session_name = rest.partition("/")
            return await self._role(account, role_name, session_name=session_name)
        if kind in _PROVIDERS:
            principal = Principal.from_provider(
                _PROVIDERS[kind], account, provider=text, subject=""
            )
            return Caller(principal=principal)
        raise ValidationError(
            f"What {text} may do stands in its session; ask about the user, role or"
            " provider that it came from"
        )

    async def _user(self, account: AccountId, name: str) -> Caller:
        user = await self._directory.named(USER, account, name)
        if user is None:
            raise NoSuchEntity(f"The account {account} has no user {name}")
        return user_caller(user)

    async def _role(
        self, account: AccountId, name: str, *, session_name: str
    ) -> Caller:
        role = await self._directory.named(ROLE, account, name)
        if role is None:
            raise NoSuchEntity(f"The account {account} has no role {name}")
        return role_caller(role, session_name)

    async def _need(self, hypothesis: Hypothesis, caller: Caller) -> Need:
        context: Context = {}
        role: Role | None = None
        owner = caller.account
        parts = hypothesis.resource.split(":", 5)
        if len(parts) == 6:  # noqa: PLR2004  # an ARN's parts
            *_, service, _, account, resource = parts
            kind, _, rest = resource.partition("/")
            name = rest.rpartition("/")[2]
            if account.isascii() and account.isdigit():
                owner = AccountId(account)
            if service == "iam" and kind in {"role", "user"}:
                entity: Role | User | None
                if kind == "role":
                    entity = await self._directory.named(ROLE, owner, name)
                else:
                    entity = await self._directory.named(USER, owner, name)
                if entity is not None and entity.arn == hypothesis.resource:
                    context.update(tag_context("aws:resourcetag", entity.tags))
                    context.update(tag_context("iam:resourcetag", entity.tags))
                    role = entity if isinstance(entity, Role) else None
        context.update(hypothesis.context)
        action = hypothesis.action.lower()
        takes_role = action in _ROLE_ACTIONS
        return Need(
            action=hypothesis.action,
            resource=hypothesis.resource,
            account=owner,
            context=context,
            trust=Trust(role=role) if takes_role else None,
            has_policy=not action.startswith(_WITHOUT_POLICIES),
        )


def is_named(arn: str, principal: Principal) -> bool:
    """Whether an ARN is a principal's own, or only its kind and name.

    Another path may be that of one who was deleted, and whose name is taken again.
    """
    own = principal.principal_arn
    kind, slash, rest = own.rpartition(":")[2].partition("/")
    plain = iam_arn(principal.account, f"{kind}{slash}{rest.rpartition('/')[2]}")
    return arn == own or arn.lower() == plain.lower()


def user_caller(user: User) -> Caller:
    """A user who calls with a key of theirs."""
    principal = Principal.user(
        user.account, user_id=user.user_id, path=user.path, name=user.name
    )
    return Caller(principal=principal, principal_tags=user.tags)


def role_caller(role: Role, session_name: str = HYPOTHETICAL) -> Caller:
    """A session of a role without policies or tags of its own."""
    principal = Principal.role_session(
        role.account,
        role_id=role.role_id,
        path=role.path,
        role_name=role.name,
        session_name=session_name,
    )
    return Caller(principal=principal, principal_tags=role.tags)
