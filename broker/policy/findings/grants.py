"""What the statements of a policy grant: findings that are questions about requests.

What cannot be decided in time counts as granted, and not as redundant.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from fnmatch import fnmatchcase

from broker.policy.compiled import PolicySet, compile_policies
from broker.policy.document import Effect, PolicyDocument, PolicyKind, Statement
from broker.policy.findings.finding import Path, PolicyFinding
from broker.policy.proofs import Facts, Prover, Side, Undecided
from broker.policy.wildcard import compile_wildcard, tokenize

_STRANGE_SERVICE = "stranger.amazonaws.com"
_STRANGE_ROLE = "arn:aws:iam::999999999999:role/stranger/stranger"
_STRANGE_SUBJECT = "stranger"
_GITHUB = "token.actions.githubusercontent.com"
_WEB = "sts:AssumeRoleWithWebIdentity"
_PROVIDER = ":oidc-provider/"
_COMPARISONS_MAX = 50_000
_STATEMENTS_MAX = 40
_ROLES = (
    ("PASS_ROLE", "iam:PassRole", "iam:passedtoservice"),
    ("CREATE_SLR", "iam:CreateServiceLinkedRole", "iam:awsservicename"),
)

PathOf = Callable[[int], Path]


def list_grants(
    document: PolicyDocument, path_of: PathOf
) -> Generator[PolicyFinding | None, None, None]:
    """What a policy grants too widely, or twice; None between two questions."""
    grants = _Grants(document, path_of)
    yield from grants.roles()
    yield from grants.tokens()
    yield from grants.redundant()


class _Grants:
    """The statements of a document, and what is asked about them."""

    def __init__(self, document: PolicyDocument, path_of: PathOf) -> None:
        self._document = document
        self._path_of = path_of
        self._prover = Prover()
        policies = compile_policies([("", document)])
        self._sides = _sides(policies)
        self._denies = [
            side for side in self._sides if side.statement.source.effect is Effect.DENY
        ]

    def roles(self) -> Iterator[PolicyFinding | None]:
        """Roles that may be passed to any service, or made for any."""
        if self._document.kind not in {PolicyKind.IDENTITY, PolicyKind.SESSION}:
            return
        for side in self._allows():
            for begin, action, key in _ROLES:
                yield None
                facts = {key: (_STRANGE_SERVICE,)}
                if self._is_granted(side, action, _STRANGE_ROLE, facts):
                    source = side.statement.source
                    code, value = _describe(begin, action, source)
                    path = self._path_of(source.index)
                    yield PolicyFinding(code, path, value)

    def tokens(self) -> Iterator[PolicyFinding | None]:
        """Providers any of whose tokens opens a role."""
        if self._document.kind is not PolicyKind.TRUST:
            return
        for side in self._allows():
            source = side.statement.source
            for arn in source.principals.federated if source.principals else ():
                issuer = arn.partition(_PROVIDER)[2].lower()
                if not issuer:
                    continue
                keys = {
                    condition.key.lower()
                    for condition in source.conditions
                    if condition.key.lower().startswith(f"{issuer}:")
                }
                audience, subject = f"{issuer}:aud", f"{issuer}:sub"
                claims = {subject, *keys} - {audience}
                for named in ({audience}, claims):
                    yield None
                    facts = dict.fromkeys(named, (_STRANGE_SUBJECT,))
                    if self._is_granted(side, _WEB, "", facts):
                        key = subject if subject in named else audience
                        code = "MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL"
                        if issuer == _GITHUB and key == subject:
                            code = "MISSING_GITHUB_REPO_CONDITION_KEY"
                        yield PolicyFinding(code, self._path_of(source.index), key)

    def redundant(self) -> Iterator[PolicyFinding | None]:
        """What can be left out: actions, resources, and whole statements."""
        for side in self._sides:
            source = side.statement.source
            path = self._path_of(source.index)
            element = "NotAction" if source.not_action else "Action"
            for index, action, by in _list_covered(source.actions, fold=True):
                yield PolicyFinding(
                    "REDUNDANT_ACTION", (*path, element, index), action, by
                )
            element = "NotResource" if source.not_resource else "Resource"
            for index, text, by in _list_covered(source.resources or (), fold=False):
                yield None
                if self._covers(text, by):
                    at = (*path, element, index)
                    yield PolicyFinding("REDUNDANT_RESOURCE", at, text, by)
        yield from self._statements()

    def _statements(self) -> Iterator[PolicyFinding | None]:
        kept = list(self._sides)
        if len(kept) > _STATEMENTS_MAX:
            return
        for side in reversed(self._sides):
            source = side.statement.source
            alike = [
                other
                for other in kept
                if other is not side and _is_alike(other.statement.source, source)
            ]
            if not alike:
                continue
            yield None
            if self._is_empty([side], alike) and not self._is_empty([side], ()):
                kept.remove(side)
                yield PolicyFinding("REDUNDANT_STATEMENT", self._path_of(source.index))

    def _allows(self) -> Iterator[Side]:
        for side in self._sides:
            if side.statement.source.effect is Effect.ALLOW:
                yield side

    def _is_granted(self, side: Side, action: str, resource: str, facts: Facts) -> bool:
        asked = _made(
            Statement(
                index=0,
                effect=Effect.ALLOW,
                actions=(action,),
                resources=(resource,) if resource else None,
            )
        )
        try:
            request = self._prover.find_request([side, asked], self._denies, facts)
        except Undecided:
            return True
        return request is not None

    def _covers(self, text: str, by: str) -> bool:
        sides = [
            _made(
                Statement(
                    index=0, effect=Effect.ALLOW, actions=("*",), resources=(resource,)
                ),
                self._document.version,
            )
            for resource in (text, by)
        ]
        return self._is_empty(sides[:1], sides[1:])

    def _is_empty(self, inside: Iterable[Side], outside: Iterable[Side]) -> bool:
        try:
            return self._prover.find_request([*inside], [*outside], {}) is None
        except Undecided:
            return False


def _sides(policies: PolicySet) -> list[Side]:
    return [Side(policies, statement) for statement in policies.statements()]


def _made(statement: Statement, version: str = "") -> Side:
    document = PolicyDocument(
        kind=PolicyKind.IDENTITY, version=version, statements=(statement,)
    )
    return _sides(compile_policies([("", document)]))[0]


def _is_alike(statement: Statement, other: Statement) -> bool:
    return (
        statement.effect is other.effect
        and statement.principals == other.principals
        and statement.not_principal == other.not_principal
    )


def _describe(begin: str, action: str, source: Statement) -> tuple[str, str]:
    """The code of a grant of an action on roles, and the pattern that covers it."""
    resource = "NOTRESOURCE" if source.not_resource else "RESOURCE"
    star = "" if source.not_resource else "STAR_IN_"
    if source.not_action:
        if source.not_resource:
            return f"{begin}_WITH_NOTACTION_AND_NOTRESOURCE", ""
        return f"{begin}_WITH_STAR_IN_RESOURCE_AND_NOTACTION", ""
    lowered = action.lower()
    if lowered in map(str.lower, source.actions):
        return f"{begin}_WITH_{star}{resource}", ""
    pattern = next(
        (
            a
            for a in source.actions
            if fnmatchcase(lowered, a.lower().replace("[", "[[]"))
        ),
        "*",
    )
    return f"{begin}_WITH_STAR_IN_ACTION_AND_{resource}", pattern


def _list_covered(
    texts: tuple[str, ...], *, fold: bool
) -> Iterator[tuple[int, str, str]]:
    """Texts that another text of the list covers, with their indexes.

    A pattern with ``?`` covers nothing here.
    """
    names = [text.lower() if fold else text for text in texts]
    patterns = [
        name for name in dict.fromkeys(names) if "*" in name and "?" not in name
    ]
    if len(patterns) * len(names) > _COMPARISONS_MAX:
        patterns = []
    tests = [(name, compile_wildcard(tokenize(name))) for name in patterns]
    seen: set[str] = set()
    for index, name in enumerate(names):
        by = name if name in seen else None
        for pattern, covers in tests:
            if by is None and pattern != name and covers(name):
                by = pattern
        seen.add(name)
        if by is not None:
            yield index, texts[index], by
