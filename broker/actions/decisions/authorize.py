"""``broker:Authorize``: a registered service asks who acts, and whether they may.

The one decision behind every protocol, in the stages of `_Decisions`. The call itself
needs ``broker:Authorize`` on the service's ARN, or the service's token, which is that
permission. It leaves no record of its own; the decisions are counted and some of them
kept (`broker.audit.decisions`).
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct, structs
from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.decisions.declare import SERVICE
from broker.actions.decisions.question import (
    UNSEEN,
    ActionDecision,
    Batch,
    DecisionAnswer,
    Question,
    check_question,
    check_size,
    complete_question,
)
from broker.actions.decisions.verdict import DENIED, split
from broker.audit.decisions import DecisionLog
from broker.audit.entry import AuditEntry
from broker.errors import (
    AccessDenied,
    BrokerError,
    InvalidClientTokenId,
    NoSuchEntity,
    ProofError,
    ServiceUnavailable,
    SignatureDoesNotMatch,
    ValidationError,
)
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.audit import Outcome
from broker.model.principal import PrincipalType
from broker.model.registered import RegisteredService, service_arn
from broker.model.request import Params
from broker.model.session import Caller
from broker.permit.context import Context, call_context
from broker.permit.guard import Guard, Judgement, reason
from broker.permit.hypothetical import Hypotheses, is_named
from broker.permit.need import Need
from broker.proofs.bearer_tokens import REGISTERED
from broker.proofs.sigv4 import SignatureScheme, SignedFor
from broker.protocols.enforcement import (
    SIGNED_CHUNKS,
    ActionOnResource,
    ClientRequest,
    CompiledService,
    DefinitionRejected,
    RequestAmbiguous,
    parse_definition,
    resource_path,
)
from broker.protocols.enforcement.forwarded import check_overrides
from broker.protocols.enforcement.mapping import ANY_RESOURCE
from broker.protocols.sigv4 import SignatureRules
from broker.protocols.sigv4.errors import MISMATCH
from broker.runtime.batches import check_wanted
from broker.runtime.bounded import BoundedCache, measure
from broker.runtime.offload import LONG, offload_if_long, offload_long
from broker.runtime.shares import give_way
from broker.stores.directory import kinds
from broker.stores.directory.readings import FreshDirectory
from broker.stores.uses import UseBuffer

QUESTIONS = "Questions"
ANSWERS = "Answers"
"""Members of the action's input, a `Batch`, and of its output."""

QUERY_BYTES_MAX = 16 * 1024
"""As for the broker's own API."""

_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_DECLARED = b"x-amz-content-sha256"
_BODY_UNKNOWN = (
    "The body of this request cannot be verified here. Sign the header"
    " x-amz-content-sha256 with the body's SHA-256, or ask where the body is known."
)
_SERVICE_ARN = re.compile(r"arn:aws:broker::([0-9]{12}):service/([a-z][a-z0-9-]{0,62})")
_LONG_DEFINITION = 2_000
"""Characters of a definition from which on it is read off the event loop."""

_LONG_RESOURCE = 256
"""Characters of an ARN from which on comparing it takes longer."""

_ITEMS_CHARACTERS_MAX = 16_384
"""Of what one record says of resources, and of several decisions."""

_REASON_CHARACTERS = 256
_MORE_RESOURCES = "MoreResources"


class ReadyService(Struct, frozen=True):
    """A service, its compiled definition, and what requests for it are signed for.

    ``without_body`` is for requests whose body is not known.
    """

    service: RegisteredService
    compiled: CompiledService
    signed_for: SignedFor
    without_body: SignedFor


class _Subject(Struct):
    """Who acts, and what is known of their request.

    ``is_proved``: a signature of theirs was verified; else the enforcement point only
    names them. ``like`` is a first judgement, whose policies serve all others, and
    ``context`` the condition keys that the service adds nothing to.
    """

    caller: Caller
    region: str
    request: ClientRequest
    is_proved: bool
    payload: str = ""
    path: str = ""
    like: Judgement | None = None
    context: Context | None = None


class Authorizer:
    """Decides what registered services ask."""

    def __init__(
        self,
        fresh: FreshDirectory,
        guard: Guard,
        hypotheses: Hypotheses,
        signatures: SignatureScheme,
        *,
        uses: UseBuffer,
        log: DecisionLog,
        home_region: str,
    ) -> None:
        self.guard = guard
        self.hypotheses = hypotheses
        self.signatures = signatures
        self.uses = uses
        self.log = log
        self._fresh = fresh
        self._home_region = home_region
        self._ready = BoundedCache[str, ReadyService]()

    def action(self) -> Action:
        """The declaration. Its work counts, as it is done: not how often it is asked."""
        return Action(
            service=SERVICE,
            name="Authorize",
            needs=_needs,
            prepare=self._prepare,
            handle=self._handle,
            calls=0,
            counted=True,
        )

    async def _prepare(self, params: Params, call: Call) -> "_Decisions":
        """The service, and who acts in the first question.

        Raises:
            AccessDenied, NoSuchEntity: there is no such service for the caller.
            ServiceUnavailable: what it takes to decide, or to record it, is away.
            ValidationError: the batch asks too much.
        """
        batch: Batch = params[QUESTIONS]
        ready = await self.get_ready(batch.service, call, params.get(REGISTERED))
        check_size(batch.questions, batch.decisions_max)
        decisions = _Decisions(self, ready, call, batch)
        if batch.questions:
            decisions.first = await decisions.prove(batch.questions[0])
        return decisions

    async def _handle(self, _given: Params, call: Call) -> Mapping[str, Any]:
        decisions: _Decisions = call.prepared  # type: ignore[assignment]
        return {ANSWERS: await decisions.answer()}

    async def get_ready(
        self, asked: str, call: Call, service: RegisteredService | None = None
    ) -> ReadyService:
        """The service that is asked for; ``service`` is that of the caller's token.

        Raises:
            AccessDenied: the caller's token is for another, or the definition is broken.
            NoSuchEntity: there is none of that name.
            ValidationError: it is not a name or ARN of a service.
        """
        account, name = _asked_service(asked, call)
        if service is None:
            service = await self._fresh.named(kinds.SERVICE, account, name)
        if service is None:
            raise NoSuchEntity(f"The service with name {name} cannot be found.")
        known = self._ready.get(service.account, service.service_id)
        if known is not None and (known.service is service or known.service == service):
            return known
        ready, size = await offload_long(
            len(service.definition),
            partial(_prepare, service, self._home_region),
            long=_LONG_DEFINITION,
        )
        self._ready.put(service.account, service.service_id, ready, size)
        return ready


_Proved = tuple[Question, _Subject, list[ActionOnResource], Context]
"""A question with who acts, what is asked about, and in which circumstances."""


class _Kept:
    """A record that gets more resources: each once, and a number of those beyond."""

    def __init__(self, entry: AuditEntry) -> None:
        self._entry = entry
        self._resources = dict.fromkeys(entry.resources)
        self._room = _ITEMS_CHARACTERS_MAX - sum(map(len, self._resources))
        self._more = 0

    def add(self, resource: str) -> None:
        """Name one more resource, or count it if they are long."""
        if resource in self._resources:
            return
        if len(resource) > self._room:
            self._more += 1
            return
        self._room -= len(resource)
        self._resources[resource] = None

    def complete(self) -> AuditEntry:
        """The record, with all of them."""
        entry = self._entry
        entry.resources = tuple(self._resources)
        if self._more:
            entry.parameters = {**entry.parameters, _MORE_RESOURCES: self._more}
        return entry


class _Decisions:
    """The decisions of one call, each by the same stages.

        prove     the question is the service's own to ask, and maps to actions and
                  resources; who acts: by their signature, or as it says
        judge     each action and resource, by the policies that apply
        note      what was decided, together at the end

    The pipeline takes the first question through them, and the others of a batch follow.
    What they share is here: who acts, the outcome, and what it costs.
    """

    def __init__(
        self, by: Authorizer, ready: ReadyService, call: Call, batch: Batch
    ) -> None:
        self.first: _Proved | DecisionAnswer = DecisionAnswer()
        self._by = by
        self._ready = ready
        self._compiled = ready.compiled
        self._call = call
        self._batch = batch
        self._subjects: dict[tuple[object, ...], _Subject] = {}
        self._judged: list[tuple[_Subject, list[ActionDecision]]] = []
        self._refused: list[AuditEntry] = []

    async def answer(self) -> list[DecisionAnswer]:
        """An answer to each question, or to those until the batch ends.

        Raises:
            ServiceUnavailable: what it takes to decide, or to record it, is away.
        """
        answers: list[DecisionAnswer] = []
        until = self._batch.until
        for asked in self._batch.questions:
            proved = self.first
            if answers:
                await self.go_on()
                proved = await self.prove(asked)
            answer = await self._judge(proved)
            answers.append(answer)
            if until is not None and answer.allowed is until:
                break
        await self._note()
        return answers

    async def go_on(self) -> None:
        """Let others go on, and wait for the account's share if it is used.

        Raises:
            ClientGoneError: the client has gone.
            Throttling: it is too much.
        """
        if self._call.rates.shares.is_busy(self._call.account):
            await self._call.afford()
        await give_way()
        check_wanted(self._call.request.has_left)

    async def prove(self, asked: Question) -> _Proved | DecisionAnswer:
        """Who acts in a question, or the answer that it cannot be decided.

        Raises:
            ServiceUnavailable: what it takes to prove it, or to record it, is away.
            ValidationError: it cannot be asked, and with it the call.
        """
        question = asked
        try:
            if asked.is_foreign:
                question = complete_question(self._compiled, asked)
            check_question(self._compiled, question)
        except ValidationError as refusal:
            if self._batch.is_strict:
                raise
            if asked.is_foreign and len(asked.resources) > 1 and not asked.is_split:
                return await self._answer_singly(asked)
            return await self._refuse(question, refusal)
        subject: _Subject | None = None
        try:
            if question.ambiguous:
                raise ValidationError(question.ambiguous)
            if question.request is not None:
                subject = await self._verify(question.request)
            else:
                subject = await self._get_subject(question)
            targets = _targets(self._compiled, question, subject)
            return question, subject, targets, _context(subject, question, self._call)
        except ServiceUnavailable:
            raise
        except BrokerError as refusal:
            return await self._refuse(question, refusal, subject)

    async def _answer_singly(self, asked: Question) -> DecisionAnswer:
        """Of several resources in foreign words each has its own answer."""
        caller: Caller | None = None
        decisions: list[ActionDecision] = []
        for resource in asked.resources:
            proved = await self.prove(structs.replace(asked, resources=(resource,)))
            answer = await self._judge(proved)
            caller = caller or answer.caller
            decisions += answer.decisions or [
                ActionDecision(
                    action=action,
                    resource=resource,
                    allowed=False,
                    refusal=answer.refusal,
                )
                for action in asked.actions
            ]
        return DecisionAnswer(caller=caller, decisions=decisions)

    async def _judge(self, proved: _Proved | DecisionAnswer) -> DecisionAnswer:
        """What they may do."""
        if isinstance(proved, DecisionAnswer):
            return proved
        question, subject, targets, context = proved
        decisions: list[ActionDecision] = []
        for target in targets:
            if decisions:
                await self.go_on()
            decisions.append(await self._decide(target, subject, context, question))
        self._judged.append((subject, decisions))
        return DecisionAnswer(
            caller=subject.caller, payload=subject.payload, decisions=decisions
        )

    async def _get_subject(self, question: Question) -> _Subject:
        """Who acts without a signed request; found once in a batch."""
        seen = question.seen or UNSEEN
        who = question.access_key_id, question.session_token, question.principal
        key = (*who, seen.source_ip, seen.secure, seen.headers)
        if key not in self._subjects:
            find = self._resolve if question.access_key_id else self._get_named
            self._subjects[key] = await find(question, seen)
        return self._subjects[key]

    async def _verify(self, request: ClientRequest) -> _Subject:
        """The client's own signature, by the service's rules."""
        hosts = self._compiled.definition.hosts
        if hosts and (request.find_header(b"host") or "").lower() not in hosts:
            raise SignatureDoesNotMatch(
                "The request is for another host.", detail="Host is not of the service"
            )
        if len(request.query) > QUERY_BYTES_MAX:
            raise ValidationError(f"The query is longer than {QUERY_BYTES_MAX} bytes.")
        try:
            path = resource_path(request.raw_path)
            check_overrides(request.method, request.target, request.headers)
        except RequestAmbiguous as error:
            raise ValidationError(str(error)) from error
        is_known = request.body_sha256 is not None
        wanted = self._ready.signed_for if is_known else self._ready.without_body
        try:
            key, signed, payload = await self._by.signatures.verify(
                request,
                wanted,
                self._call.now,
                is_long=len(self._call.request.raw.body) > LONG,
            )
        except (SignatureDoesNotMatch, InvalidClientTokenId) as error:
            # The same for each key, or a client could tell which ones there are.
            unproved = isinstance(error, InvalidClientTokenId) or (
                error.message == MISMATCH
            )
            if unproved and not is_known and _may_hide_a_body(request):
                raise SignatureDoesNotMatch(
                    _BODY_UNKNOWN, detail=error.detail
                ) from None
            raise
        # Signed as empty, and yet there is or may be one: not the signer's.
        if (not is_known and payload == _EMPTY_SHA256) and (
            request.content_length > 0
            or (request.content_length < 0 and _may_hide_a_body(request))
        ):
            raise SignatureDoesNotMatch(
                _BODY_UNKNOWN, detail="a body that is not signed"
            )
        return _Subject(key.caller, signed.region, request, True, payload, path)  # noqa: FBT003

    async def _resolve(self, question: Question, seen: ClientRequest) -> _Subject:
        """Whose credentials these are."""
        key = await self._by.signatures.resolve(
            question.access_key_id, question.session_token, self._call.now
        )
        # Access key IDs are not secret: they may not tell who is in other accounts.
        if key.caller.session is None and (
            key.caller.account != self._ready.service.account
        ):
            raise InvalidClientTokenId(detail="a key of another account, no proof")
        # A gateway has verified the signature, with the key that it derived.
        is_proved = question.is_split
        return _Subject(key.caller, self._compiled.region, seen, is_proved)

    async def _get_named(self, question: Question, seen: ClientRequest) -> _Subject:
        """The principal of an ARN."""
        arn = question.principal
        try:
            account = Arn.parse(arn).account
        except ValueError as error:
            raise ValidationError(f"{arn[:200]} is not a principal's ARN.") from error
        if account != self._call.account:
            raise ValidationError("Principals of other accounts must authenticate.")
        caller = await self._by.hypotheses.get_caller(arn)
        if ":assumed-role/" in arn or not caller.principal.unique_id:
            raise ValidationError(
                "What a session may do stands in its token: pass its credentials, or"
                " the request that it signed."
            )
        if not is_named(arn, caller.principal):
            raise NoSuchEntity(
                f"There is no principal {arn[:200]}.",
                detail=f"the ARN is {caller.principal.principal_arn}",
            )
        return _Subject(caller, self._compiled.region, seen, is_proved=False)

    async def _decide(
        self,
        target: ActionOnResource,
        subject: _Subject,
        context: Context,
        question: Question,
    ) -> ActionDecision:
        action, resource = target
        need = Need(
            action=action,
            resource=resource,
            account=self._ready.service.account,
            has_policy=True,
        )
        try:
            judgement = await self._by.guard.judge(
                subject.caller,
                need,
                context,
                like=subject.like,
                is_large=bool(question.context) or len(resource) > _LONG_RESOURCE,
            )
            verdict = DENIED
            if question.is_split:
                verdict = await offload_if_long(partial(split, judgement))
        except AccessDenied as error:
            # A policy that cannot be read, or too much work.
            return ActionDecision(
                action=action, resource=resource, allowed=False, detail=error.detail
            )
        subject.like = subject.like or judgement
        return ActionDecision(
            action=action,
            resource=resource,
            allowed=judgement.decision.allowed,
            judgement=judgement,
            verdict=verdict,
        )

    async def _note(self) -> None:
        """Count the decisions, and keep what must be kept, all of it in one record."""
        by, ready, call = self._by, self._ready, self._call
        asker = f"{call.caller.principal.arn} {call.caller.access_key_id}"
        has_room = by.log.has_room(asker)
        kept: dict[tuple[str, str, bool], _Kept] = {}
        used: set[tuple[int, str]] = set()
        noted = 0
        for subject, decisions in self._judged:
            who = subject.caller
            for decision in decisions:
                if noted:
                    await self.go_on()
                noted += 1
                action, allowed = decision.action, decision.allowed
                if subject.is_proved and (id(subject), action) not in used:
                    used.add((id(subject), action))
                    prefix, _, name = action.partition(":")
                    by.uses.note_call(who, prefix, name, call.now, subject.region)
                by.log.count(
                    ready.service, Outcome.ALLOWED if allowed else Outcome.DENIED
                )
                same = who.principal.arn, action, allowed
                if kept and same in kept:
                    kept[same].add(decision.resource)
                    continue
                why = ""
                if allowed:
                    if not has_room:
                        continue  # in the numbers
                    why = by.log.find_reason_to_keep(
                        ready.service,
                        f"{who.principal.arn} {who.access_key_id} {subject.is_proved}",
                        action,
                        call.now,
                        ready.compiled.definition.sample_every,
                    )
                    if not why:
                        continue
                entry = self._entry(subject, action)
                await _describe(entry, decision, why)
                kept[same] = _Kept(entry)
        entries = [*self._refused, *(record.complete() for record in kept.values())]
        if entries:
            await by.log.keep(self._joined(entries), asker)

    def _joined(self, entries: Sequence[AuditEntry]) -> AuditEntry:
        """The one record of what is kept: of several, with each as an item.

        It is of whom they are all about, else of who asked.
        """
        if len(entries) == 1:
            return entries[0]
        worst = next((entry for entry in entries if entry.error_code), entries[0])
        whole = self._entry(None, f"{SERVICE}:Authorize")
        if len({(entry.caller_arn, entry.access_key_id) for entry in entries}) == 1:
            whole.caller_arn, whole.principal_id = worst.caller_arn, worst.principal_id
            whole.access_key_id = worst.access_key_id
            whole.source_identity = worst.source_identity
        else:
            whole.caller_arn = self._call.caller.principal.arn
        if len({entry.source_ip for entry in entries}) == 1:
            whole.source_ip = worst.source_ip
        whole.decision, whole.error_code = worst.decision, worst.error_code
        whole.reason, whole.detail = worst.reason, worst.detail
        whole.region = worst.region
        record = _Kept(whole)
        items: list[dict[str, object]] = []
        room = _ITEMS_CHARACTERS_MAX
        for entry in entries:
            item = _item(entry)
            room -= len(str(item))
            if items and room < 0:
                break
            items.append(item)
            for resource in entry.resources:
                record.add(resource)
        record.complete()
        whole.parameters = {**whole.parameters, "Decisions": items}
        if len(items) < len(entries):
            whole.parameters["MoreDecisions"] = len(entries) - len(items)
        return whole

    async def _refuse(
        self,
        question: Question,
        refusal: BrokerError,
        subject: _Subject | None = None,
    ) -> DecisionAnswer:
        """The answer to a question that leads to no decision, to be kept."""
        self._by.log.count(self._ready.service, Outcome.REFUSED)
        entry = self._entry(subject, f"{SERVICE}:Authorize")
        if question.request is not None:
            entry.source_ip = question.request.source_ip
        entry.resources = (self._ready.service.arn,)
        entry.decision = Outcome.ERROR
        if isinstance(refusal, ProofError):
            entry.decision = Outcome.REFUSED
            entry.access_key_id = refusal.access_key_id or entry.access_key_id
        entry.error_code = refusal.code
        entry.detail = entry.reason = refusal.detail or refusal.words
        self._refused.append(entry)
        caller = None if subject is None else subject.caller
        return DecisionAnswer(caller=caller, refusal=refusal)

    def _entry(self, subject: _Subject | None, action: str) -> AuditEntry:
        """A record of the service's account, about the principal."""
        entry = AuditEntry.of(self._call.request, action)
        entry.source_ip = entry.user_agent = ""
        if subject is not None:
            entry.name_caller(subject.caller)
            if not subject.is_proved:
                entry.access_key_id = ""
                entry.parameters = {"NamedBy": self._call.caller.principal.arn}
            entry.source_ip = subject.request.source_ip
            entry.user_agent = subject.request.find_header(b"user-agent") or ""
            entry.region = subject.region
        entry.account = self._ready.service.account
        return entry


def _item(entry: AuditEntry) -> dict[str, object]:
    """What is kept of one of several, in their one record."""
    members = {
        "Principal": entry.caller_arn,
        "AccessKeyId": entry.access_key_id,
        "Action": entry.action,
        "Resources": list(entry.resources),
        "SourceIp": entry.source_ip,
        "Decision": str(entry.decision),
        "Reason": entry.reason[:_REASON_CHARACTERS],
        **entry.parameters,
    }
    return {name: value for name, value in members.items() if value}


async def _describe(entry: AuditEntry, decision: ActionDecision, why_kept: str) -> None:
    """Say on its record what was decided, and why."""
    entry.resources = (decision.resource,)
    if decision.allowed and decision.judgement is not None:
        entry.decision = Outcome.ALLOWED
        entry.reason = f"{reason((decision.judgement.decision,))} ({why_kept})"
        return
    entry.decision, entry.error_code = Outcome.DENIED, AccessDenied.code
    entry.detail = entry.reason = (
        decision.detail
        if decision.judgement is None
        else await decision.judgement.give_reason()
    )


def _prepare(service: RegisteredService, home_region: str) -> tuple[ReadyService, int]:
    """Make a stored service ready, and measure its bytes.

    ``home_region`` is for one that names no region.

    Raises:
        AccessDenied: its definition is broken.
    """
    try:
        definition = parse_definition(service.definition, service.name)
    except DefinitionRejected as error:
        # It was checked when it was written, by the rules of that time.
        raise AccessDenied(
            detail=f"the definition of {service.arn} is broken: {error}"
        ) from error
    compiled = CompiledService(
        definition, name=service.name, account=service.account, region=home_region
    )
    signature = definition.signature
    rules = SignatureRules(
        path_as_sent=signature.path == "AsSent",
        payloads=frozenset(signature.payloads) - SIGNED_CHUNKS,
        window_seconds=signature.window_seconds,
        presigned_seconds_max=signature.presigned_seconds_max,
    )
    first, *others = compiled.scopes
    signed_for = SignedFor(
        service=first,
        also=tuple(others),
        regions=frozenset({compiled.region}),
        rules=rules,
    )
    ready = ReadyService(
        service,
        compiled,
        signed_for,
        structs.replace(signed_for, rules=replace(rules, believes_declared_hash=True)),
    )
    return ready, measure(ready)


def _may_hide_a_body(request: ClientRequest) -> bool:
    """Whether there may be a body of which the request declares nothing."""
    return request.method not in _WITHOUT_BODY and not (
        _DECLARED in request.query.lower()
        or any(name == _DECLARED for name, _ in request.headers)
    )


def _asked_service(asked: str, call: Call) -> tuple[AccountId, str]:
    """The account and the name of the service that is asked for, if there is one.

    Raises:
        AccessDenied: a token is for another service.
        ValidationError: it is not an ARN of a service.
    """
    principal = call.caller.principal
    if principal.type is PrincipalType.SERVICE:
        if asked and asked not in {principal.arn, principal.service}:
            raise AccessDenied(detail=f"the token is not for {asked[:200]}")
        return principal.account, principal.service or ""
    text = asked if asked.startswith("arn:") else service_arn(call.account, asked)
    match = _SERVICE_ARN.fullmatch(text)
    if match is None:
        raise ValidationError("Service must name a registered service.")
    return AccountId(match[1]), match[2]


async def _needs(params: Params, call: Call) -> tuple[Need, ...]:
    if call.caller.principal.type is PrincipalType.SERVICE:
        return ()  # what `service_needs` says; the service is looked at in `get_ready`
    batch: Batch = params[QUESTIONS]
    return service_needs(batch.service, call)


def service_needs(
    service: str, call: Call, action: str = "Authorize"
) -> tuple[Need, ...]:
    """The permission to ask for a service; a token is the one to ask for decisions.

    Raises:
        AccessDenied: a token is for another service.
        ValidationError: it is not a name or ARN of a service.
    """
    account, name = _asked_service(service, call)
    if call.caller.principal.type is PrincipalType.SERVICE and action == "Authorize":
        return ()
    return (
        Need(
            action=f"{SERVICE}:{action}",
            resource=service_arn(account, name),
            account=account,
        ),
    )


def _targets(
    compiled: CompiledService, question: Question, subject: _Subject
) -> list[ActionOnResource]:
    """What is asked: the cross product, or what the service's routes say.

    Raises:
        AccessDenied: no route knows the request.
        ValidationError: no resource is named, for an action that has resources.
    """
    if question.actions:
        # As declared: else each way to write one would be another in the records.
        actions = [compiled.spell_action(action) for action in question.actions]
        return _combined(compiled, actions, question.resources or (ANY_RESOURCE,))
    request = question.request
    if request is None:
        raise ValidationError("there is no request to map")
    target = compiled.find_target(request.method, subject.path)
    if target is None:
        raise AccessDenied(
            "The request does not map to an action of the service.",
            detail=f"no route of {compiled.name} fits {request.method} and this path",
        )
    if question.resources:
        return _combined(compiled, [target.action], question.resources)
    return [target]


def _combined(
    compiled: CompiledService, actions: list[str], resources: tuple[str, ...]
) -> list[ActionOnResource]:
    """Each action on each resource.

    A star is no resource: a Deny that names one would not apply to it.
    """
    if ANY_RESOURCE in resources:
        for action in actions:
            if compiled.has_resources(action):
                raise ValidationError(
                    f"{action} is done to a resource: name it by its ARN."
                )
    return [ActionOnResource(a, r) for a in actions for r in resources]


def _context(subject: _Subject, question: Question, call: Call) -> Context:
    context = subject.context
    if context is None:
        seen = subject.request
        context = call_context(
            subject.caller, seen, region=subject.region, now=call.now
        )
        if not seen.source_ip:
            del context["aws:sourceip"]
        if seen.secure is None:
            del context["aws:securetransport"]
        subject.context = context
    if not question.context:
        return context
    context = dict(context)
    for key, values in question.context.items():
        context.setdefault(key.lower(), values)  # the broker's own keys stay
    return context
