"""Questions from other protocols, completed for a service.

They name users and actions without the account and the prefix, resources by type and
name, and say of the request what they happen to know. Of that, only what the service
may bring counts, and what an enforcement point sees for itself: the client's address,
whether TLS protects the request, ``User-Agent`` and ``Referer``. The rest is left out,
above all keys about the principal: those are the broker's.
"""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from broker.actions.decisions.question import Question, check_names_one
from broker.errors import ValidationError
from broker.protocols.enforcement import ClientRequest, CompiledService
from broker.protocols.enforcement.forwarded import is_address

ANY_TYPE = "aws"
"""The type given to a resource or a principal that is named by its ARN."""

_PRINCIPAL = re.compile(r"(?:user|role)/[A-Za-z0-9_+=,.@-]{1,64}")
_IDS = (
    "An id takes the place of the pattern's only placeholder and has no /, :, * or ?,"
    " which mean something in ARNs and policies. The id may be the whole ARN."
)
_BOOLEANS = {"true": True, "false": False}


def complete_question(compiled: CompiledService, question: Question) -> Question:
    """The same question in the words of ``POST /decisions``.

    Raises:
        ValidationError: a name means nothing to the service, or a key is sent twice.
    """
    principal = question.principal
    if principal and not principal.startswith("arn:"):
        if not _PRINCIPAL.fullmatch(principal):
            raise ValidationError(f"{principal[:200]} is not a user or role.")
        principal = f"arn:aws:iam::{compiled.account}:{principal}"
    seen, context = question.seen, question.context
    if context:
        told = _told(compiled, context)
        seen = _seen(told)
        context = {k: v for k, v in told.items() if compiled.may_bring(k)}
    kind = question.resource_type
    own = [a if ":" in a else f"{compiled.prefix}:{a}" for a in question.actions]
    return replace(
        question,
        principal=principal,
        actions=tuple(own),
        resources=tuple([_resource(compiled, kind, one) for one in question.resources]),
        context=context,
        seen=seen,
        resource_type="",
        is_foreign=False,
    )


def _told(
    compiled: CompiledService, context: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The keys with their prefixes, in lower case."""
    told: dict[str, tuple[str, ...]] = {}
    for name, values in context.items():
        key = (name if ":" in name else f"{compiled.prefix}:{name}").lower()
        if key in told:
            raise ValidationError(f"The context has {name[:200]} twice.")
        told[key] = values
    return told


def _resource(compiled: CompiledService, kind: str, name: str) -> str:
    if not kind:
        return name
    check_names_one(name)
    found = name if kind == ANY_TYPE else compiled.find_resource(kind, name)
    if found is None:
        raise ValidationError(
            f"{name[:200]} is no {kind[:64]} of {compiled.name}. {_IDS}"
        )
    return found


def _seen(told: Mapping[str, tuple[str, ...]]) -> ClientRequest:
    source_ip = _single(told, "aws:sourceip")
    if source_ip and not is_address(source_ip):
        raise ValidationError("aws:SourceIp is not an address.")
    secure = _single(told, "aws:securetransport").lower()
    if secure and secure not in _BOOLEANS:
        raise ValidationError("aws:SecureTransport must be true or false.")
    headers = (
        (b"user-agent", _single(told, "aws:useragent")),
        (b"referer", _single(told, "aws:referer")),
    )
    return ClientRequest(
        method="",
        raw_path=b"",
        query=b"",
        headers=tuple([(n, v.encode("utf-8", "replace")) for n, v in headers if v]),
        source_ip=source_ip,
        secure=_BOOLEANS.get(secure),
    )


def _single(told: Mapping[str, tuple[str, ...]], key: str) -> str:
    values = told.get(key, ())
    if len(values) > 1:
        raise ValidationError(f"{key} has one value.")
    return values[0] if values else ""
