"""The condition keys that every call brings, whatever it asks for.

A key that does not apply is absent, not empty. Names are lower-case.

Source: IAM User Guide, "AWS global condition context keys" and
reference_policies_variables.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from broker.errors import ValidationError
from broker.model.principal import PrincipalType
from broker.model.request import RawRequest
from broker.model.session import Caller, SessionKind
from broker.policy import VALUE_CHARACTERS_MAX
from broker.runtime.bounded import remembered

Context = dict[str, tuple[str, ...]]

_POLICY_TYPE: Mapping[PrincipalType, str] = {
    **{kind: kind.value for kind in PrincipalType},
    # An unsigned caller counts as a user whose id is the provider's ARN.
    PrincipalType.SAML: "User",
    PrincipalType.WEB_IDENTITY: "User",
    PrincipalType.LDAP: "User",
}


def call_context(
    caller: Caller, raw: RawRequest, *, region: str, now: datetime
) -> Context:
    """The ``aws:…`` keys of a call, and the ones that its proof brought.

    Raises:
        ValidationError: a header is longer than a condition key's value may be.
    """
    principal = caller.principal
    context: Context = {
        **caller.context,
        "aws:principalaccount": (principal.account,),
        "aws:principaltype": (_POLICY_TYPE[principal.type],),
        "aws:userid": (principal.userid,),
    }
    if principal.principal_arn:
        context["aws:principalarn"] = (principal.principal_arn,)
    if principal.type is PrincipalType.USER and principal.username:
        context["aws:username"] = (principal.username,)
    for key, value in caller.principal_tags.items():
        context[f"aws:principaltag/{key.lower()}"] = (value,)
    if caller.session is not None:
        _add_session(context, caller, now)
    seconds = int(now.timestamp())
    context |= {
        "aws:sourceip": (raw.source_ip,),
        "aws:securetransport": ("true" if raw.secure else "false",),
        "aws:currenttime": (_iso(seconds),),
        "aws:epochtime": (str(seconds),),
        "aws:requestedregion": (region,),
        "aws:viaawsservice": ("false",),
    }
    if principal.principal_arn:
        # Signed calls only; unsigned ones and anonymous ones do not have it.
        context["aws:principalisawsservice"] = ("false",)
    for key, header in (("aws:useragent", b"user-agent"), ("aws:referer", b"referer")):
        text = raw.find_header(header)
        if not text:
            continue
        if len(text) > VALUE_CHARACTERS_MAX:
            # If it were left out or truncated, it could evade a Deny.
            raise ValidationError(
                f"The header {header.decode()} has {len(text)} characters;"
                f" it can have {VALUE_CHARACTERS_MAX}."
            )
        context[key] = (text,)
    return context


def tag_context(prefix: str, tags: Mapping[str, str]) -> Context:
    """``{prefix}/{key}`` for every tag, e.g. ``aws:resourcetag/team``.

    Names of condition keys have no case. Where tags differ only in case, as some
    entities allow, a condition sees every value, so that none hides another.
    """
    context: Context = {
        f"{prefix}/{key.lower()}": (value,) for key, value in tags.items()
    }
    if len(context) < len(tags):
        context = {
            name: tuple(v for k, v in tags.items() if f"{prefix}/{k.lower()}" == name)
            for name in context
        }
    return context


def resource_context(resource: str, account: str) -> Context:
    """``aws:ResourceAccount`` of what a need is about.

    Absent for calls about no resource, and for what AWS itself owns.
    """
    if resource == "*" or ":iam::aws:" in resource:
        return {}
    return {"aws:resourceaccount": (account,)}


def _add_session(context: Context, caller: Caller, now: datetime) -> None:
    session = caller.session
    if session is None:
        return
    context.update(session.identity_context)
    context["aws:tokenissuetime"] = (_iso(session.issued_at_ms // 1000),)
    if session.kind is SessionKind.ROOT_TASK:
        context["aws:assumedroot"] = ("true",)
    if session.provider_arn and ":rolesanywhere:" not in session.provider_arn:
        context["aws:federatedprovider"] = (session.provider_arn,)
    if session.source_identity:
        context["aws:sourceidentity"] = (session.source_identity,)
    # Long-term keys and roles assumed with them carry no MFA key at all; only a
    # session that could have carried one says "false".
    if session.mfa_at is not None:
        context["aws:multifactorauthpresent"] = ("true",)
        age = int(now.timestamp()) - session.mfa_at
        context["aws:multifactorauthage"] = (str(max(age, 0)),)
    elif session.kind is not SessionKind.FEDERATION_TOKEN:
        context["aws:multifactorauthpresent"] = ("false",)


@remembered()
def _iso(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
