"""What a registered service asks, and the answer.

A question says who acts in one of three ways: a request that the principal signed,
live credentials, or the ARN of a principal without a session of its own. It says what
is done by actions and resources, or leaves that to the service's routes.

Questions of other protocols (`is_foreign`) are completed first. They name users and
actions without the account and the prefix, resources by type and name, and say of the
request what they happen to know. Of that, only what the service
may bring counts, and what an enforcement point sees for itself: the client's address,
whether TLS protects the request, ``User-Agent`` and ``Referer``. The rest is left out,
above all keys about the principal: those are the broker's.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from broker.actions.decisions.verdict import DENIED, Verdict
from broker.errors import BrokerError, ValidationError
from broker.model.session import Caller
from broker.permit.guard import Judgement
from broker.policy import VALUE_CHARACTERS_MAX, VALUES_MAX
from broker.policy.context import DECLARED_TYPES, has_type
from broker.protocols.enforcement import ClientRequest, CompiledService
from broker.protocols.enforcement.forwarded import is_address

DECISIONS_MAX = 100
"""Actions times resources of one question, and of all questions of a batch."""

KEY_CHARACTERS_MAX = 256
"""Of a condition key: the longest have a tag's key, of up to 128 characters."""

UNSEEN = ClientRequest(method="", raw_path=b"", query=b"", headers=())
"""A request of which an enforcement point tells nothing."""

ANY_TYPE = "aws"
"""The type given to a resource or a principal that is named by its ARN."""

_PRINCIPAL = re.compile(r"(?:user|role)/[A-Za-z0-9_+=,.@-]{1,64}")
_IDS = (
    "An id takes the place of the pattern's only placeholder and has no /, :, * or ?,"
    " which mean something in ARNs and policies. The id may be the whole ARN."
)
_BOOLEANS = {"true": True, "false": False}


class Question(Struct, frozen=True, kw_only=True):
    """May the principal do ``actions`` to ``resources``?

    ``service`` is a service's name or ARN, empty for the one whose token asks.
    ``context`` has the condition keys that the service brings, in its own spelling.
    ``ambiguous`` is why the request could be read in several ways: it is refused.
    ``seen`` is what an enforcement point saw of a request that it does not pass on.
    ``is_foreign``: in the words of another protocol, with ``resource_type`` for what
    kind of names ``resources`` are. ``is_split``: for an enforcement point with policies
    of its own, which is told more than whether it is allowed (`verdict.split`).
    """

    __repr__ = object.__repr__

    service: str = ""
    request: ClientRequest | None = None
    ambiguous: str = ""
    access_key_id: str = ""
    session_token: str | None = None
    principal: str = ""
    actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    context: Mapping[str, tuple[str, ...]] = {}
    seen: ClientRequest | None = None
    resource_type: str = ""
    is_foreign: bool = False
    is_split: bool = False


class Batch(Struct, frozen=True, kw_only=True):
    """Questions to the same service, answered in order.

    A question that cannot be asked is refused singly, or if ``is_strict`` with all.
    ``until`` ends the batch with the first answer that is so. All of it asks for
    ``decisions_max`` at most.
    """

    questions: tuple[Question, ...]
    until: bool | None = None
    decisions_max: int = DECISIONS_MAX
    is_strict: bool = False

    @property
    def service(self) -> str:
        """The service that all of it is for."""
        return self.questions[0].service if self.questions else ""


class ActionDecision(Struct, frozen=True, kw_only=True):
    """The decision on one action and one resource, with what it rests on.

    ``detail`` is why it could not be judged. ``refusal`` is why there is none: of a
    batch's resources, this cannot be asked about. ``verdict`` is for a split question.
    """

    action: str
    resource: str
    allowed: bool
    judgement: Judgement | None = None
    detail: str = ""
    refusal: BrokerError | None = None
    verdict: Verdict = DENIED


class DecisionAnswer(Struct, frozen=True, kw_only=True):
    """Who it was, and what they may do.

    ``refusal`` is why the principal is not proved, and there is no caller, or why the
    question cannot be decided, and there is no decision. ``payload`` is what was signed
    of the body.
    """

    caller: Caller | None = None
    refusal: BrokerError | None = None
    payload: str = ""
    decisions: Sequence[ActionDecision] = ()

    @property
    def allowed(self) -> bool:
        """Whether everything that was asked is allowed."""
        for decision in self.decisions:  # `all` would take three frames
            if not decision.allowed:
                return False
        return bool(self.decisions)


def check_size(
    questions: tuple[Question, ...], decisions_max: int = DECISIONS_MAX
) -> None:
    """Hold questions to what they may ask together.

    Raises:
        ValidationError: they ask too much.
    """
    asked = 0
    for question in questions:
        asked += (len(question.actions) or 1) * (len(question.resources) or 1)
    if asked > decisions_max:
        raise ValidationError(
            f"A question may ask for at most {decisions_max} decisions."
        )


def check_names_one(resource: str) -> None:
    """Refuse a pattern where a resource is asked about by name.

    A Deny that names one of the pattern's resources would not apply to it. What stores
    ask about is what their clients called it: there, ``*`` is a letter like others.

    Raises:
        ValidationError: it has wildcards.
    """
    if resource != "*" and not {"*", "?"}.isdisjoint(resource):
        raise ValidationError(
            f"{resource[:200]} has a wildcard: ask about one resource at a time."
        )


def check_question(compiled: CompiledService, question: Question) -> None:
    """Hold a question to what is the service's own.

    Raises:
        ValidationError: it is about something else, or says too much.
    """
    ways = (question.request, question.access_key_id, question.principal)
    if sum(map(bool, ways)) != 1 and not question.ambiguous:
        raise ValidationError("Send exactly one of Request, Credentials and Principal.")
    if question.request is None and not (question.actions or question.ambiguous):
        raise ValidationError("Actions is required without a Request.")
    for action in question.actions:
        if not compiled.owns_action(action):
            raise ValidationError(
                f"{action[:200]} is not an action of {compiled.name}."
            )
    for resource in question.resources:
        if not compiled.owns_resource(resource):
            raise ValidationError(
                f"{resource[:200]} is not a resource of {compiled.name}."
            )
    _check_context(compiled, question.context)


def _check_context(
    compiled: CompiledService, context: Mapping[str, tuple[str, ...]]
) -> None:
    if not context:
        return
    values = 0
    if len({key.lower() for key in context}) < len(context):
        raise ValidationError("Context has a key twice: keys are case-insensitive.")
    for key, items in context.items():
        if len(key) > KEY_CHARACTERS_MAX:
            raise ValidationError(
                f"A key of Context has more than {KEY_CHARACTERS_MAX} characters."
            )
        if not compiled.may_bring(key):
            raise ValidationError(
                f"{compiled.name} does not bring the key {key[:200]}."
            )
        if any(len(value) > VALUE_CHARACTERS_MAX for value in items):
            raise ValidationError(
                f"A value of {key} has more than {VALUE_CHARACTERS_MAX} characters."
            )
        kind = compiled.find_key_type(key) or "String"
        for value in items:
            if not has_type(value, DECLARED_TYPES[kind]):
                raise ValidationError(
                    f"{value[:200]} is not a value of {key}, which is {kind}."
                )
        values += len(items)
    if values > VALUES_MAX:
        raise ValidationError(f"Context has more than {VALUES_MAX} values.")


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
        resources=tuple(
            [_resource(compiled, kind, resource) for resource in question.resources]
        ),
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
    resource = name if kind == ANY_TYPE else compiled.find_resource(kind, name)
    if resource is None:
        raise ValidationError(
            f"{name[:200]} is no {kind[:64]} of {compiled.name}. {_IDS}"
        )
    return resource


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
