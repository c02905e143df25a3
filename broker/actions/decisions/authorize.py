"""``broker:Authorize``: a registered service asks who acts, and whether they may.

The one decision behind every protocol: verify, map, judge, note. The call itself needs
``broker:Authorize`` on the service's ARN, or the service's token, which is that
permission. It leaves no record of its own; the decisions are counted and some of them
kept (`broker.audit.decisions`).
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from broker.actions.action import Action, Call
from broker.actions.decisions.declare import SERVICE
from broker.actions.decisions.foreign import complete_question
from broker.actions.decisions.question import (
    ActionDecision,
    Batch,
    Circumstances,
    DecisionAnswer,
    Question,
    check_question,
    check_size,
)
from broker.actions.decisions.ready import ReadyService, prepare_service
from broker.actions.decisions.verdicts import split
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
    Throttling,
    ValidationError,
)
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.audit import Outcome
from broker.model.caller import Caller
from broker.model.principal import PrincipalType
from broker.model.raw import RawRequest
from broker.model.registered import service_arn
from broker.model.request import Given
from broker.model.struct import struct
from broker.permit.context import Context, call_context
from broker.permit.guard import Guard, Judgement, reason
from broker.permit.hypothetical import Hypotheses, is_named
from broker.permit.need import Need
from broker.proofs.attempts import network_of
from broker.proofs.sigv4 import SignatureScheme, VerifiedSignature
from broker.protocols.enforcement import (
    ActionOnResource,
    ClientRequest,
    CompiledService,
    RequestAmbiguous,
    resource_path,
)
from broker.protocols.enforcement.forwarded import check_overrides
from broker.protocols.enforcement.mapping import ANY_RESOURCE
from broker.protocols.sigv4.errors import MISMATCH
from broker.runtime.batches import NEXT_TURN, check_wanted
from broker.stores.directory import kinds
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.uses import UseBuffer

QUESTION = "Question"
ANSWER = "Answer"
ANSWERS = "Answers"
"""Members of the action's input, a `Question` or `Batch`, and of its output."""

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
_TURN_UNITS = 50_000
"""Of work, about 10 ms: what a batch decides before other calls have their turn."""

_PAUSE_SECONDS = 0.25
_PAUSES_MAX = 20

_FIRST_UNITS = 1_000
"""What it decides without waiting for its turn."""

_SPLIT_PASSES = 2
"""How often a split verdict decides again."""

_LONG_RESOURCE = 256
"""Characters of an ARN from which on comparing it takes longer."""

_DECISION_UNITS = 50
"""What the smallest decision takes."""


@dataclass(slots=True)
class _Subject:
    """Who acts, and what is known of their request.

    ``is_proved``: a signature of theirs was verified; else the enforcement point only
    names them. ``like`` is a first judgement, whose policies serve all others, and
    ``context`` the condition keys that the service adds nothing to.
    """

    caller: Caller
    region: str
    raw: RawRequest
    secure: bool | None
    is_proved: bool
    payload: str = ""
    path: str = ""
    like: Judgement | None = None
    context: Context | None = None


@struct
class _Evaluation:
    """A decision with what it rests on; ``detail`` is why it could not be judged."""

    decision: ActionDecision
    judgement: Judgement | None = None
    detail: str = ""

    def describe(self, entry: AuditEntry, why_kept: str) -> None:
        """Say on its record what was decided, and why."""
        entry.resources = (self.decision.resource,)
        if self.decision.allowed and self.judgement is not None:
            entry.decision = Outcome.ALLOWED
            entry.reason = f"{reason((self.judgement.decision,))} ({why_kept})"
            return
        entry.decision, entry.error_code = Outcome.DENIED, AccessDenied.code
        entry.detail = entry.reason = (
            self.detail
            if self.judgement is None
            else self.judgement.explain().sentence()
        )


@dataclass(slots=True)
class _Work:
    """What the questions of a batch share: who acts, the outcome, and what it costs."""

    call: Call
    turns: asyncio.Lock
    subjects: dict[tuple[object, ...], _Subject] = field(default_factory=dict)
    judged: list[tuple[_Subject, _Evaluation]] = field(default_factory=list)
    turn: int = _FIRST_UNITS
    pauses: int = _PAUSES_MAX

    async def charge(self, units: int = _DECISION_UNITS) -> None:
        """Count work before it is done, and wait for our turn with what is much.

        Of all that work long one has a turn at a time, and other calls in between. What
        is too much for this second is done in the next ones, as long as that is bearable.

        Raises:
            ClientGoneError: the client has gone.
            Throttling: it is too much.
        """
        while True:
            try:
                await self.call.charge(units)
                break
            except Throttling:
                self.pauses -= 1
                if not self.pauses:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
                check_wanted(self.call.request.has_left)
        self.turn -= units
        if self.turn < 0:
            async with self.turns:
                await asyncio.sleep(0)
            check_wanted(self.call.request.has_left)
            self.turn = _TURN_UNITS


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
        self._fresh = fresh
        self._guard = guard
        self._hypotheses = hypotheses
        self._signatures = signatures
        self._uses = uses
        self._log = log
        self._home_region = home_region
        self._turns = asyncio.Lock()

    def action(self) -> Action:
        """The declaration. Its work counts, as it is done: not how often it is asked."""
        return Action(
            service=SERVICE,
            name="Authorize",
            needs=_needs,
            handle=self._handle,
            calls=0,
            counted=True,
        )

    async def _handle(self, given: Given, call: Call) -> Mapping[str, Any]:
        asked: Question | Batch = given[QUESTION]
        if isinstance(asked, Batch):
            ready = await self.get_ready(asked.service, call)
            return {ANSWERS: await self.decide(ready, asked, call)}
        ready = await self.get_ready(asked.service, call)
        check_size((asked,))
        check_question(ready.compiled, asked)
        work = _Work(call, self._turns)
        answer = await self._answer(ready, asked, call, work)
        await self._note(ready, work, call)
        return {ANSWER: answer}

    async def decide(
        self, ready: ReadyService, batch: Batch, call: Call
    ) -> list[DecisionAnswer]:
        """An answer to each question, or to those until the batch ends.

        Raises:
            ServiceUnavailable: what it takes to decide, or to record it, is away.
            ValidationError: the batch asks too much.
        """
        check_size(batch.questions, batch.decisions_max)
        work = _Work(call, self._turns)
        answers: list[DecisionAnswer] = []
        for asked in batch.questions:
            if answers:
                await work.charge()
            answer = await self._answer_checked(ready, asked, call, work)
            answers.append(answer)
            if batch.until is not None and answer.allowed is batch.until:
                break
        await self._note(ready, work, call)
        return answers

    async def _answer_checked(
        self, ready: ReadyService, asked: Question, call: Call, work: _Work
    ) -> DecisionAnswer:
        """The answer, which may be that it cannot be asked.

        Of several resources in foreign words each has its own.
        """
        question = asked
        try:
            if asked.is_foreign:
                question = complete_question(ready.compiled, asked)
            check_question(ready.compiled, question)
        except ValidationError as refusal:
            if asked.is_foreign and len(asked.resources) > 1 and not asked.is_split:
                return await self._answer_singly(ready, asked, call, work)
            await self._note_refused(ready, question, call, refusal)
            return DecisionAnswer(refusal=refusal)
        return await self._answer(ready, question, call, work)

    async def _answer_singly(
        self, ready: ReadyService, asked: Question, call: Call, work: _Work
    ) -> DecisionAnswer:
        caller: Caller | None = None
        decisions: list[ActionDecision] = []
        for resource in asked.resources:
            one = await self._answer_checked(
                ready, replace(asked, resources=(resource,)), call, work
            )
            caller = caller or one.caller
            decisions += one.decisions or [
                ActionDecision(
                    action=action, resource=resource, allowed=False, refusal=one.refusal
                )
                for action in asked.actions
            ]
        return DecisionAnswer(caller=caller, decisions=tuple(decisions))

    async def _answer(
        self, ready: ReadyService, question: Question, call: Call, work: _Work
    ) -> DecisionAnswer:
        """Who acts, and what they may do."""
        subject: _Subject | None = None
        try:
            subject = await self._get_subject(ready, question, call, work)
            targets = _targets(ready.compiled, question, subject)
            context = _context(subject, question, call)
        except ServiceUnavailable:
            raise
        except BrokerError as refusal:
            await self._note_refused(ready, question, call, refusal, subject)
            caller = None if subject is None else subject.caller
            return DecisionAnswer(caller=caller, refusal=refusal)
        judged: list[_Evaluation] = []
        for target in targets:
            if judged:
                await work.charge()
            one = await self._judge(
                ready,
                target,
                subject,
                context,
                work,
                is_split=question.is_split,
                is_large=bool(question.context),
            )
            subject.like = subject.like or one.judgement
            judged.append(one)
        work.judged += [(subject, one) for one in judged]
        return DecisionAnswer(
            caller=subject.caller,
            payload=subject.payload,
            decisions=tuple(one.decision for one in judged),
        )

    async def _get_subject(
        self, ready: ReadyService, question: Question, call: Call, work: _Work
    ) -> _Subject:
        """Who acts; proved once in a batch."""
        if question.request is not None or question.ambiguous:
            found = await self._prove(ready, question, call)
            await NEXT_TURN
            return found
        key = (
            question.access_key_id,
            question.session_token,
            question.principal,
            question.circumstances,
        )
        known = work.subjects.get(key)
        if known is None:
            known = await self._prove(ready, question, call)
            work.subjects[key] = known
            await NEXT_TURN
        return known

    async def get_ready(self, service: str, call: Call) -> ReadyService:
        """The service that is asked for.

        Raises:
            AccessDenied: the caller's token is for another.
            NoSuchEntity: there is none of that name.
            ValidationError: it is not a name or ARN of a service.
        """
        account, name = _asked_service(service, call)

        found = await self._fresh.named(kinds.SERVICE, account, name)
        if found is None:
            raise NoSuchEntity(f"The service with name {name} cannot be found.")

        async def load() -> ReadyService:
            return prepare_service(found, self._home_region)

        return await self._fresh.memo.keep(account, ("ready-service", found), load)

    async def _prove(
        self, ready: ReadyService, question: Question, call: Call
    ) -> _Subject:
        if question.ambiguous:
            raise ValidationError(question.ambiguous)
        if question.request is not None:
            return await self._verify(ready, question.request, call)
        region, seen = ready.compiled.region, question.circumstances
        if question.access_key_id:
            key = await self._signatures.resolve(
                question.access_key_id, question.session_token, call.now
            )
            # Access key IDs are not secret: they may not tell who is in other accounts.
            if key.caller.session is None and (
                key.caller.account != ready.service.account
            ):
                raise InvalidClientTokenId(detail="a key of another account, no proof")
            # A gateway has verified the signature, with the key that it derived.
            return _Subject(
                key.caller, region, _raw(seen), seen.secure, question.is_split
            )
        try:
            account = Arn.parse(question.principal).account
        except ValueError as error:
            raise ValidationError(
                f"{question.principal[:200]} is not a principal's ARN."
            ) from error
        if account != call.account:
            raise ValidationError("Principals of other accounts must authenticate.")
        caller = await self._hypotheses.get_caller(question.principal)
        if ":assumed-role/" in question.principal or not caller.principal.unique_id:
            raise ValidationError(
                "What a session may do stands in its token: pass its credentials, or"
                " the request that it signed."
            )
        if not is_named(question.principal, caller.principal):
            raise NoSuchEntity(
                f"There is no principal {question.principal[:200]}.",
                detail=f"the ARN is {caller.principal.principal_arn}",
            )
        return _Subject(caller, region, _raw(seen), seen.secure, is_proved=False)

    async def _verify(
        self, ready: ReadyService, request: ClientRequest, call: Call
    ) -> _Subject:
        hosts = ready.compiled.definition.hosts
        raw = RawRequest(
            method=request.method,
            raw_path=request.raw_path,
            query=request.query,
            headers=request.headers,
            body=b"",
            source_ip=request.source_ip,
            secure=bool(request.secure),
            body_sha256=request.body_sha256,
        )
        if hosts and (raw.find_header(b"host") or "").lower() not in hosts:
            raise SignatureDoesNotMatch(
                "The request is for another host.", detail="Host is not of the service"
            )
        if len(request.query) > QUERY_BYTES_MAX:
            raise ValidationError(f"The query is longer than {QUERY_BYTES_MAX} bytes.")
        try:
            path = resource_path(request.raw_path)
            check_overrides(raw.method, raw.target, raw.headers)
        except RequestAmbiguous as error:
            raise ValidationError(str(error)) from error
        verified = await self._verify_signature(ready, raw, request, call)
        return _Subject(
            verified.caller,
            verified.region,
            raw,
            request.secure,
            is_proved=True,
            payload=verified.payload,
            path=path,
        )

    async def _verify_signature(
        self, ready: ReadyService, raw: RawRequest, request: ClientRequest, call: Call
    ) -> VerifiedSignature:
        if request.body_sha256 is not None:
            return await self._signatures.verify(raw, ready.signed_for, call.now)
        try:
            verified = await self._signatures.verify(raw, ready.without_body, call.now)
        except (SignatureDoesNotMatch, InvalidClientTokenId) as error:
            # The same for each key, or a client could tell which ones there are.
            unproved = isinstance(error, InvalidClientTokenId)
            if (unproved or error.message == MISMATCH) and _may_hide_a_body(request):
                raise SignatureDoesNotMatch(
                    _BODY_UNKNOWN, detail=error.detail
                ) from None
            raise
        # Signed as empty, and yet there is or may be one: not the signer's.
        if verified.payload == _EMPTY_SHA256 and (
            request.content_length > 0
            or (request.content_length < 0 and _may_hide_a_body(request))
        ):
            raise SignatureDoesNotMatch(
                _BODY_UNKNOWN, detail="a body that is not signed"
            )
        return verified

    async def _judge(
        self,
        ready: ReadyService,
        target: ActionOnResource,
        subject: _Subject,
        context: Context,
        work: _Work,
        *,
        is_split: bool,
        is_large: bool,
    ) -> _Evaluation:
        need = Need(
            action=target.action,
            resource=target.resource,
            account=ready.service.account,
            has_policy=True,
        )
        judgement, detail = None, ""
        try:
            judgement = await self._guard.judge(
                subject.caller,
                need,
                context,
                like=subject.like,
                charge=work.charge,
                is_large=is_large or len(target.resource) > _LONG_RESOURCE,
            )
            if is_split:
                await work.charge(_SPLIT_PASSES * judgement.work)
        except AccessDenied as error:
            # A policy that cannot be read, or too much work.
            detail = error.detail
        decision = ActionDecision(
            action=target.action,
            resource=target.resource,
            allowed=judgement is not None and judgement.decision.allowed,
            verdict=split(judgement) if is_split else None,
        )
        return _Evaluation(decision=decision, judgement=judgement, detail=detail)

    async def _note(self, ready: ReadyService, work: _Work, call: Call) -> None:
        """Count the decisions, and keep what must be kept; a batch by its actions."""
        kept: dict[tuple[str, str, bool], AuditEntry] = {}
        used: set[tuple[int, str]] = set()
        for subject, one in work.judged:
            who = subject.caller
            decision = one.decision
            use = id(subject), decision.action
            if subject.is_proved and use not in used:
                used.add(use)
                prefix, _, name = decision.action.partition(":")
                self._uses.note_call(who, prefix, name, call.now, subject.region)
            self._log.count(
                ready.service, Outcome.ALLOWED if decision.allowed else Outcome.DENIED
            )
            same = who.principal.arn, decision.action, decision.allowed
            if same in kept:
                kept[same].add_resource(decision.resource)
                continue
            why = ""
            if decision.allowed:
                why = self._log.find_reason_to_keep(
                    ready.service,
                    f"{who.principal.arn} {who.access_key_id} {_network(subject)}",
                    decision.action,
                    call.now,
                    ready.compiled.definition.sample_every,
                )
                if not why:
                    continue
            elif one.judgement is not None:
                await work.charge(one.judgement.work)
            entry = _entry(ready, subject, decision.action, call)
            one.describe(entry, why)
            kept[same] = entry
        for entry in kept.values():
            await self._log.keep(entry)

    async def _note_refused(
        self,
        ready: ReadyService,
        question: Question,
        call: Call,
        refusal: BrokerError,
        subject: _Subject | None = None,
    ) -> None:
        """Keep a question that leads to no decision."""
        self._log.count(ready.service, Outcome.REFUSED)
        entry = _entry(ready, subject, f"{SERVICE}:Authorize", call)
        if question.request is not None:
            entry.source_ip = question.request.source_ip
        entry.resources = (ready.service.arn,)
        entry.decision = Outcome.ERROR
        if isinstance(refusal, ProofError):
            entry.decision = Outcome.REFUSED
            entry.access_key_id = refusal.access_key_id or entry.access_key_id
        entry.error_code = refusal.code
        entry.detail = entry.reason = refusal.detail or refusal.words
        await self._log.keep(entry)


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
        if asked not in {"", principal.arn, principal.service}:
            raise AccessDenied(detail=f"the token is not for {asked[:200]}")
        return principal.account, principal.service or ""
    text = asked if asked.startswith("arn:") else service_arn(call.account, asked)
    match = _SERVICE_ARN.fullmatch(text)
    if match is None:
        raise ValidationError("Service must name a registered service.")
    return AccountId(match[1]), match[2]


async def _needs(given: Given, call: Call) -> tuple[Need, ...]:
    asked: Question | Batch = given[QUESTION]
    return service_needs(asked.service, call)


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
        actions = [compiled.spell_action(one) for one in question.actions]
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


def _raw(seen: Circumstances) -> RawRequest:
    """A request of which only its circumstances are known."""
    named = ((b"user-agent", seen.user_agent), (b"referer", seen.referer))
    return RawRequest(
        method="",
        raw_path=b"",
        query=b"",
        headers=tuple(
            (name, value.encode("utf-8", "replace")) for name, value in named if value
        ),
        body=b"",
        source_ip=seen.source_ip,
        secure=bool(seen.secure),
    )


def _context(subject: _Subject, question: Question, call: Call) -> Context:
    context = subject.context
    if context is None:
        context = call_context(
            subject.caller, subject.raw, region=subject.region, now=call.now
        )
        if not subject.raw.source_ip:
            del context["aws:sourceip"]
        if subject.secure is None:
            del context["aws:securetransport"]
        subject.context = context
    if not question.context:
        return context
    context = dict(context)
    for key, values in question.context.items():
        context.setdefault(key.lower(), values)  # the broker's own keys stay
    return context


def _network(subject: _Subject) -> str:
    """Where a principal acts from, as first uses are told apart."""
    address = subject.raw.source_ip
    return network_of(address) if address else ""


def _entry(
    ready: ReadyService, subject: _Subject | None, action: str, call: Call
) -> AuditEntry:
    """A record of the service's account, about the principal."""
    entry = AuditEntry.of(call.request, action)
    entry.source_ip = entry.user_agent = ""
    if subject is not None:
        entry.name_caller(subject.caller)
        if not subject.is_proved:
            entry.access_key_id = ""
            entry.parameters = {"NamedBy": call.caller.principal.arn}
        entry.source_ip = subject.raw.source_ip
        entry.user_agent = subject.raw.find_header(b"user-agent") or ""
        entry.region = subject.region
    entry.account = ready.service.account
    return entry
