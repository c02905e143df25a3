"""What an upstream is: where its STS is, and how the broker asks it.

Only the operator sets it: an upstream says where proved sessions are handed on to.
"""

import json
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_pascal

from broker.model.arn import Arn
from broker.model.upstream import Upstream
from broker.runtime.bounded import remembered

DEFINITION_CHARACTERS_MAX = 65_536
ALL_ROLES = "*"
ROLE_NAME = "{RoleName}"

_HOST = r"^https?://[A-Za-z0-9.:\[\]_-]{1,255}"
_URL = _HOST + r"(/[!-~]{0,255})?$"
_ENDPOINT = _HOST + r'(/[!"$->@-~]{0,255})?$'  # without ? and #
_REGION = r"^[a-z0-9]+(?:-[a-z0-9]+){0,7}$"

Region = Annotated[str, StringConstraints(pattern=_REGION, max_length=64)]
RoleName = Annotated[
    # Repeated a counted number of times, \w takes megabytes.
    str, StringConstraints(pattern=r"^(?:[\w+=,.@-]+|\*)$", max_length=64)
]
RoleArn = Annotated[
    str, StringConstraints(pattern=r"^arn:[a-z0-9-]+:[!-~]{1,1000}$", max_length=1024)
]
_CONFIG = ConfigDict(
    extra="forbid",
    frozen=True,
    strict=True,
    alias_generator=to_pascal,
    validate_by_alias=True,
)


def _with_a_place(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0:
        raise ValueError("it has no host, or no port")
    if "[" in parts.netloc:
        IPv6Address(parts.hostname)
    return url


Url = Annotated[str, StringConstraints(pattern=_URL), AfterValidator(_with_a_place)]
Endpoint = Annotated[
    str, StringConstraints(pattern=_ENDPOINT), AfterValidator(_with_a_place)
]


class UpstreamRejected(Exception):
    """The definition is not valid; the text says where and why."""


class UpstreamRevocation(BaseModel):
    """How older sessions of the upstream roles are ended there.

    ``role`` may call ``PutRolePolicy`` for them; ``endpoint`` is IAM's.
    """

    model_config = _CONFIG

    role: RoleArn
    endpoint: Endpoint = "https://iam.amazonaws.com"
    region: Region = "us-east-1"


class UpstreamDefinition(BaseModel):
    """The whole definition.

    ``endpoint`` is the STS, and ``region`` the one that requests are signed for.
    ``method`` is how it is asked: ``WebIdentity`` with a token that the account issues
    (no secret is stored), ``AssumeRole`` or ``FederationToken`` with a key pair or with
    the credentials of the broker's environment. ``roles`` maps names of the account's
    roles to upstream roles; ``*`` stands for all others, and ``{RoleName}`` for the
    role's own name. ``audience`` is what the token is for. ``sign_in`` is the
    federation endpoint that gives console links, ``console`` where those lead and
    ``issuer`` where the upstream sends people when their session ends. ``revocation``
    is there where the broker may end sessions at the upstream. ``names_sessions`` says
    whether answers name the session that they are for; one that does not is refused
    unless none does.
    """

    model_config = _CONFIG

    endpoint: Endpoint
    region: Region = "us-east-1"
    method: Literal["WebIdentity", "AssumeRole", "FederationToken"] = "WebIdentity"
    audience: Annotated[str, StringConstraints(min_length=1, max_length=255)] = (
        "sts.amazonaws.com"
    )
    roles: dict[RoleName, RoleArn | Literal[""]] = Field(min_length=1, max_length=1000)
    passes_tags: bool = True
    passes_source_identity: bool = True
    names_sessions: bool = True
    sign_in: Endpoint | None = None
    console: Url | None = None
    issuer: Url | None = None
    revocation: UpstreamRevocation | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, arn in self.roles.items():
            if self.method != "FederationToken" and not arn:
                raise ValueError(f"{name} needs the ARN of an upstream role")
            if name != ALL_ROLES and ROLE_NAME in arn:
                raise ValueError(
                    f"{name}: {ROLE_NAME} belongs to the entry {ALL_ROLES}"
                )
        if not self.names_sessions and self.method == "FederationToken":
            raise ValueError("NamesSessions: federation tokens name their user")
        if self.sign_in is not None and self.console is None:
            raise ValueError("SignIn needs Console, the address it leads to")
        if self.revocation is not None:
            self._check_revocation(self.revocation.role)
        return self

    def _check_revocation(self, revoker: str) -> None:
        if self.method == "FederationToken":
            raise ValueError("Revocation: federation tokens have no role there")
        for name, arn in self.roles.items():
            if Arn.parse(arn).account != Arn.parse(revoker).account:
                raise ValueError(
                    f"Revocation: the role of {name} is in another account"
                )
        entry = self.find_entry(revoker)
        if entry is not None:
            raise ValueError(f"Revocation: {entry} would give its role")

    def find_entry(self, role_arn: str) -> str | None:
        """An entry of ``roles`` that would give this role to some role here."""
        entries = (name for name, arn in self.roles.items() if _may_be(arn, role_arn))
        return next(entries, None)


def _may_be(arn: str, role_arn: str) -> bool:
    """Whether an entry's ARN is this role's, for some role here."""
    arn, role_arn = arn.lower(), role_arn.lower()
    before, placeholder, rest = arn.partition(ROLE_NAME.lower())
    if not placeholder:
        return arn == role_arn
    after = rest.rpartition(ROLE_NAME.lower())[2]
    name = role_arn.removeprefix(before).removesuffix(after)
    return role_arn == f"{before}{name}{after}" and "/" not in name


def find_upstream_role(
    role: str, upstreams: Mapping[str, UpstreamDefinition]
) -> tuple[str, str] | None:
    """The name of a role's upstream, and the role there; None if it has none.

    ``upstreams`` are those of the role's account, by name. One that names the role
    comes before one that is for all others.
    """
    for entry in (role, ALL_ROLES):
        for name, definition in upstreams.items():
            arn = definition.roles.get(entry)
            if arn is not None:
                return name, arn.replace(ROLE_NAME, role)
    return None


@remembered(DEFINITION_CHARACTERS_MAX)
def parse_upstream(text: str) -> UpstreamDefinition:
    """The definition in a JSON text.

    Raises:
        UpstreamRejected: it is not allowed.
    """
    if len(text) > DEFINITION_CHARACTERS_MAX:
        raise UpstreamRejected(
            f"it is longer than {DEFINITION_CHARACTERS_MAX} characters"
        )
    try:
        return UpstreamDefinition.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        raise UpstreamRejected(f"{place}: {message}" if place else message) from error


def parse_upstreams(
    upstreams: Iterable[Upstream],
) -> tuple[dict[str, UpstreamDefinition], dict[str, str]]:
    """The definitions of upstreams by name, and why others cannot be read.

    A newer version of the broker may have stored those.
    """
    results: dict[str, UpstreamDefinition] = {}
    unreadable: dict[str, str] = {}
    for upstream in upstreams:
        try:
            results[upstream.name] = parse_upstream(upstream.definition)
        except UpstreamRejected as error:
            unreadable[upstream.name] = str(error)
    return results, unreadable


def normalize_upstream(text: str) -> str:
    """A definition as it is stored: without what it leaves to the defaults.

    Raises:
        UpstreamRejected: it is not allowed.
    """
    definition = parse_upstream(text)
    stored = definition.model_dump(by_alias=True, exclude_unset=True, mode="json")
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))
