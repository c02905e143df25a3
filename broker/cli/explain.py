"""``broker explain``: why a call was allowed or denied, or would be."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from broker.audit.bursts import find_counted
from broker.cli.audit import newest_records
from broker.cli.operator import with_installation
from broker.cli.terminal import format_time, say, say_json
from broker.cli.upstream_texts import explain_upstream
from broker.errors import BrokerError, NoSuchEntity
from broker.kinds.service_catalogue import registered_services, service_entries
from broker.model.account import TEMPORARY_KEY_PREFIX, AccountId
from broker.model.audit import AuditFilter, AuditRecord, Outcome
from broker.permit.gather import PolicyLibrary
from broker.permit.guard import Guard, Judgement
from broker.permit.hypothetical import Hypotheses, Hypothesis
from broker.policy import Explanation, PolicySet, PolicyType, find_context_key
from broker.policy.catalogue import (
    ServiceEntry,
    find_doubt,
    policy_summary,
    show_summary,
    unknown_names,
)
from broker.stores.directory.freshness import Freshness
from broker.stores.directory.readings import FreshDirectory

if TYPE_CHECKING:
    from broker.compose.installation import Installation


Explained = tuple[list[str], dict[str, object]]
"""Lines to print, and the same for ``--json``."""

_CONTROLS = (
    "make the account's {type} allow it: the operator sets it under Broker: with"
    " `broker apply`."
)
_ADVICE: Mapping[PolicyType, str] = {
    PolicyType.IDENTITY: (
        "give {who} a policy with Effect Allow, Action {action} and Resource {resource}."
    ),
    PolicyType.TRUST: (
        'make the trust policy of {resource} allow {action} for {{"{element}": "{who}"}}.'
    ),
    PolicyType.RESOURCE: (
        "the account that owns {resource} must allow {who} in a policy of the resource."
    ),
    PolicyType.BOUNDARY: (
        "make the permissions boundary of {who} allow Action {action} and Resource"
        " {resource} as well, or set another boundary."
    ),
    PolicyType.SESSION: (
        "the session has a session policy that does not allow this; start a session"
        " whose policy allows Action {action} and Resource {resource}."
    ),
    PolicyType.SERVICE_CONTROL: _CONTROLS,
    PolicyType.RESOURCE_CONTROL: _CONTROLS,
}
_NO_ROLE = "check the role's ARN: there is no role {resource} (path and case matter)."

_RECORDS_MAX = 100


def advice(judged: Judgement) -> str:
    """What would allow the request, or where to look."""
    request, decision = judged.request, judged.decision
    if decision.explicit_deny:
        named = " and ".join(str(ref) for ref in decision.statements)
        return (
            f"change {named}, or exempt this request in its conditions; an Allow"
            " elsewhere does not override a Deny."
        )
    text = _ADVICE[decision.policy_type]
    closest = judged.explain().closest
    if closest is not None:
        text = f"make the request match {closest.statement}, or change it; or {text}"
    if decision.policy_type is PolicyType.TRUST and judged.applicable.resource is None:
        text = _NO_ROLE
    return text.format(
        type=decision.policy_type.value,
        who=request.principal.principal_arn or request.principal.arn,
        action=request.action,
        resource=request.resource,
        element="Federated" if request.principal.federated else "AWS",
    )


def missing_keys_advice(explanation: Explanation) -> Iterator[str]:
    """Where the condition keys come from that the closest statement lacks."""
    if explanation.closest is None:
        return
    for condition in explanation.closest.conditions:
        if explanation.request.context.get(condition.key.lower()):
            continue
        known = find_context_key(condition.key)
        if known is None and "." in condition.key.rpartition(":")[0]:
            yield (
                f"{condition.key} is set from a claim if the provider's option ClaimKeys"
                " names the claim and the token has it."
            )
        elif known is None:
            yield f"{condition.key} is not a condition key that the broker sets."
        else:
            yield f"{condition.key} comes from {known.source.value}: {known.when}."


def explain(
    request: Annotated[
        str, typer.Argument(metavar="[REQUEST_ID]", help="A call's request ID.")
    ] = "",
    *,
    request_id: Annotated[
        str, typer.Option(metavar="ID", help="The same, as an option.")
    ] = "",
    principal: Annotated[
        str,
        typer.Option(
            metavar="ARN",
            help="The ARN of a user, role, session, provider or root user.",
        ),
    ] = "",
    action: Annotated[
        str,
        typer.Option(
            metavar="ACTION",
            help="For example sts:AssumeRole. Default: summarize the principal's policies.",
        ),
    ] = "",
    resource: Annotated[
        str, typer.Option(metavar="ARN", help="An ARN, or * for none.")
    ] = "*",
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="A condition key; repeat it for more values."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="As one JSON object.")
    ] = False,
) -> None:
    """Explain why a call was allowed or denied, or would be."""
    event = request_id or request
    if bool(event) == bool(principal) or (action and not principal):
        raise typer.BadParameter("pass a request ID, or --principal and --action")
    asked = action and Hypothesis(
        principal=principal,
        action=_require_action(action),
        resource=resource,
        context=parse_context(context or ()),
    )

    async def work(installation: "Installation") -> Explained:
        if event:
            return await _explain_event(installation, event)
        if not asked:
            return await _explain_who(installation, principal)
        return await _describe(installation, await _judge(installation, asked))

    lines, results = with_installation(work)
    if as_json:
        say_json(results)
    else:
        say(*lines)


def parse_context(pairs: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parse ``KEY=VALUE`` options into condition keys with lower-case names.

    Raises:
        typer.BadParameter: An option has no value, or its key has no prefix.
    """
    context: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or ":" not in key:
            raise typer.BadParameter(
                f"{pair} is not a condition key with a value, such as"
                " aws:SourceIp=203.0.113.7"
            )
        context[key.lower()] = (*context.get(key.lower(), ()), value)
    return context


def _require_action(action: str) -> str:
    service, colon, name = action.partition(":")
    if not (service and colon and name):
        raise typer.BadParameter(
            "--action needs a service and an action, such as sts:AssumeRole"
        )
    return action


async def _explain_event(installation: "Installation", event_id: str) -> Explained:
    records = await newest_records(
        installation.stores.ledger, AuditFilter(event_id=event_id), _RECORDS_MAX
    )
    if not records:
        return await _explain_counted(installation, event_id)
    lines: list[str] = []
    results: list[dict[str, object]] = []
    for record in reversed(records):
        text, described = await _explain_record(installation, record)
        lines += [*([""] if lines else []), *text]
        results.append(described)
    return lines, {**results[-1], "earlier": results[:-1]}


async def _explain_counted(installation: "Installation", event_id: str) -> Explained:
    """Explain a request that was only counted.

    Raises:
        NoSuchEntity: It cannot have been.
    """
    counted = await find_counted(installation.stores.ledger, event_id)
    if counted is None:
        raise NoSuchEntity(
            f"There is no audit record {event_id}; `broker audit` lists records."
        )
    record = counted.record
    lines = [f"{format_time(record.at)}: {counted.sentence}"]
    results: dict[str, object] = {
        "event": event_id,
        "decision": record.outcome,
        "outcome": record.outcome,
        "why": counted.sentence,
        "counted_in": record.event_id,
        "certain": counted.is_certain,
    }
    return lines, results


async def _explain_record(
    installation: "Installation", record: AuditRecord
) -> Explained:
    lines = [_headline(record), f"Why: {_reason(record)}"]
    results: dict[str, object] = {
        "event": record.event_id,
        "action": record.action,
        "caller": record.caller_arn,
        "resources": list(record.resources),
        "decision": record.outcome,
        "outcome": record.error_code or record.outcome,
        "why": _reason(record),
    }
    # Imported here: it knows every check of a proof, and so the verifiers.
    from broker.proofs.refusals import explain_refusal  # noqa: PLC0415

    refusal = explain_refusal(record)
    if refusal is not None:
        lines += [f"Check that failed: {refusal.title}.", f"To do: {refusal.advice}"]
        results |= {"check": refusal.title, "to_do": [refusal.advice]}
    policies = (record.session or {}).get("policies")
    if isinstance(policies, list):
        lines += [f"Session policy of what it issued: {text}" for text in policies]
        results["session_policies"] = policies
    both_sides, view = explain_upstream(record)
    lines += both_sides
    results |= view
    is_denied = record.outcome is Outcome.DENIED
    if is_denied and record.caller_arn and record.resources:
        today, detail = await _today(installation, record)
        lines += today
        results.update(detail)
    return lines, results


def _headline(record: AuditRecord) -> str:
    who = record.caller_arn or "An unauthenticated caller"
    on = f" on {' and '.join(record.resources)}" if record.resources else ""
    origin = f" from {record.source_ip}" if record.source_ip else ""
    what = f"{who} called {record.action}{on}{origin}"
    return f"{format_time(record.at)}: {what}{_shown_outcome(record)}."


def _shown_outcome(record: AuditRecord) -> str:
    code = record.error_code
    match record.outcome:
        case Outcome.ALLOWED:
            return " and was allowed"
        case Outcome.DENIED:
            return f" and was denied by policies, with {code}"
        case Outcome.REFUSED:
            return f", and the proof was refused with {code}"
        case Outcome.ERROR:
            return f" and failed with {code}"


def _reason(record: AuditRecord) -> str:
    if record.error_code:
        return record.detail or "The record has only the error code."
    if record.reason:
        return f"Allowed by {record.reason}."
    return "The call requires no permission."


async def _today(installation: "Installation", record: AuditRecord) -> Explained:
    unknown = "the call's parameters"
    if record.access_key_id.startswith(TEMPORARY_KEY_PREFIX):
        unknown += " and its session's own policies"
    head = f"With today's policies, without {unknown}:"
    try:
        judged = await _judge(
            installation,
            Hypothesis(
                principal=record.caller_arn,
                action=record.action,
                resource=record.resources[-1],
                context=_recorded_context(record),
            ),
        )
    except BrokerError as error:
        return [f"{head} cannot be evaluated: {error}"], {}
    lines, results = await _describe(installation, judged)
    return [head, *(f"  {line}" for line in lines)], {"now": results}


def _recorded_context(record: AuditRecord) -> dict[str, tuple[str, ...]]:
    kept = {"aws:sourceip": record.source_ip, "aws:useragent": record.user_agent}
    return {key: (value,) for key, value in kept.items() if value}


async def _explain_who(installation: "Installation", principal: str) -> Explained:
    hypothesis = Hypothesis(
        principal=principal, action="sts:GetCallerIdentity", resource="*", context={}
    )
    judged = await _judge(installation, hypothesis)
    registered = await _registered(installation, judged.request.principal.account)
    lines = [f"{judged.request.principal.arn}:"]
    results: dict[str, object] = {"principal": judged.request.principal.arn}
    for kind, policies in _layers(judged):
        documents = [document for _, document in policies.policies]
        rows = show_summary(policy_summary(documents)).splitlines()
        named = ", ".join(label for label, _ in policies.policies)
        lines += [f"  {kind.value} ({named or 'none'})", *(f"    {r}" for r in rows)]
        notes = [note for doc in documents for note in unknown_names(doc, registered)]
        lines += [f"    Note: {note}" for note in notes]
        results[kind.value] = {"policies": named, "summary": rows, "notes": notes}
    return lines, results


async def _registered(
    installation: "Installation", account: AccountId
) -> Mapping[str, ServiceEntry]:
    stored = await registered_services(installation.stores.directory, account)
    return service_entries(
        [(service.name, service.definition) for service in stored],
        account=account,
        region=installation.settings.home_region,
    )


async def _judge(installation: "Installation", hypothesis: Hypothesis) -> Judgement:
    directory, settings = installation.stores.directory, installation.settings
    freshness = Freshness(
        directory, installation.clock, stale_seconds=settings.stale_seconds
    )
    await freshness.start()
    try:
        library = PolicyLibrary(FreshDirectory(freshness))
        return await Hypotheses(directory, Guard(library)).judge(
            hypothesis, region=settings.home_region, now=installation.clock.now()
        )
    finally:
        await freshness.close()


async def _describe(installation: "Installation", judged: Judgement) -> Explained:
    request, decision = judged.request, judged.decision
    explanation = judged.explain()
    word = "Allowed" if decision.allowed else "Denied"
    why = explanation.sentence()
    if decision.policy_type is PolicyType.TRUST and judged.applicable.resource is None:
        why = f"There is no role {request.resource}."
    principal = request.principal.arn
    lines = [
        (
            f"{word}: {principal} {'can' if decision.allowed else 'cannot'} perform"
            f" {request.action} on {request.resource}."
        ),
        f"Why: {why}",
        f"Evaluated: {'; '.join(_list_policies(judged))}.",
    ]
    results: dict[str, object] = {
        "decision": word.lower(),
        "explicit": decision.explicit_deny,
        "policy_type": decision.policy_type.value,
        "statements": [str(ref) for ref in decision.statements],
        "why": why,
    }
    if not decision.allowed:
        hints = [advice(judged), *missing_keys_advice(explanation)]
        lines += [f"To do: {hint}" for hint in hints]
        results["to_do"] = hints
    owner = judged.applicable.resource_account or request.principal.account
    registered = await _registered(installation, AccountId(owner))
    if (doubt := find_doubt(request.action, registered)) is not None:
        lines.append(f"Note: {request.action} {doubt}.")
    return lines, results


def _list_policies(judged: Judgement) -> list[str]:
    return [
        ", ".join(label for label, _ in policy_set.policies)
        if kind is PolicyType.TRUST
        else f"{kind.value} ({', '.join(label for label, _ in policy_set.policies) or 'none'})"
        for kind, policy_set in _layers(judged)
    ] or ["no policy applies"]


def _layers(judged: Judgement) -> Iterator[tuple[PolicyType, PolicySet]]:
    policies = judged.applicable
    layers = (
        (PolicyType.SERVICE_CONTROL, policies.service_controls),
        (PolicyType.RESOURCE_CONTROL, policies.resource_controls),
        (judged.resource_type, (policies.resource,)),
        (PolicyType.IDENTITY, (policies.identity,)),
        (PolicyType.BOUNDARY, (policies.boundary,)),
        (PolicyType.SESSION, policies.session),
    )
    for kind, sets in layers:
        for policy_set in sets:
            if policy_set is not None:
                yield kind, policy_set
