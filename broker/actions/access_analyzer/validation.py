"""``ValidatePolicy``: findings about a policy's text, with their places."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from broker.actions.access_analyzer.checks import SERVICE
from broker.actions.action import Action, Call, needing
from broker.errors import ValidationError
from broker.kinds.service_catalogue import registered_services, service_entries
from broker.model.request import Params
from broker.policy import PolicyKind
from broker.runtime.offload import Steps, offload_steps

if TYPE_CHECKING:
    from broker.policy.findings import PolicyFinding, Subject

_TRUST = "AWS::IAM::AssumeRolePolicyDocument"
_KINDS = {
    "IDENTITY_POLICY": PolicyKind.IDENTITY,
    "RESOURCE_POLICY": PolicyKind.RESOURCE,
    "SERVICE_CONTROL_POLICY": PolicyKind.CONTROL,
    "RESOURCE_CONTROL_POLICY": PolicyKind.RESOURCE,
}
_RESULTS_MAX = 1000
_RESULTS = 100
_MORE = (
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
    "access-analyzer-reference-policy-checks.html"
    "#access-analyzer-reference-policy-checks"
)


async def _validate(params: Params, call: Call) -> Mapping[str, Any]:
    from broker.policy.findings import Subject  # noqa: PLC0415

    kind = _KINDS[params["policyType"]]
    if params.get("validatePolicyResourceType") == _TRUST:
        if kind is not PolicyKind.RESOURCE:
            raise ValidationError("Resource types are for resource policies.")
        kind = PolicyKind.TRUST
    begin, limit = _page(params)
    services = await registered_services(call.directory, call.account)
    own = service_entries(
        [(service.name, service.definition) for service in services],
        account=call.account,
        region=call.region,
    )
    subject = Subject(params["policyDocument"], kind, own)
    return await offload_steps(_answer(subject, begin, limit))


def _page(params: Params) -> tuple[int, int]:
    token = params.get("nextToken", "0")
    limit = params.get("maxResults", _RESULTS)
    if not (token.isascii() and token.isdigit() and len(token) < len("1000000")):
        raise ValidationError("Invalid token")
    if not 1 <= limit <= _RESULTS_MAX:
        raise ValidationError(f"maxResults is between 1 and {_RESULTS_MAX}.")
    return int(token), limit


def _answer(subject: "Subject", begin: int, limit: int) -> Steps[Mapping[str, Any]]:
    from broker.policy.findings import validate  # noqa: PLC0415

    findings = yield from validate(subject)
    lines = [0, *(i + 1 for i, c in enumerate(subject.text) if c == "\n")]
    page = []
    for finding in findings[begin : begin + limit]:
        yield
        page.append(_view(finding, subject.text, lines))
    more = begin + limit < len(findings)
    return {"findings": page} | ({"nextToken": str(begin + limit)} if more else {})


def _view(finding: "PolicyFinding", text: str, lines: list[int]) -> Mapping[str, Any]:
    from broker.policy.findings import locate  # noqa: PLC0415

    start, end = locate(text, finding)
    link = f"{_MORE}-{finding.kind}-{finding.code}".lower().replace("_", "-")
    span = {"start": _position(start, lines), "end": _position(end, lines)}
    return {
        "findingDetails": finding.text,
        "findingType": finding.kind.value,
        "issueCode": finding.code,
        "learnMoreLink": link,
        "locations": [{"path": list(_path(finding)), "span": span}],
    }


def _position(offset: int, lines: list[int]) -> Mapping[str, int]:
    line = bisect_right(lines, offset)
    return {"line": line, "column": offset - lines[line - 1], "offset": offset}


def _path(finding: "PolicyFinding") -> Iterator[Mapping[str, Any]]:
    last = len(finding.path) - 1
    for index, step in enumerate(finding.path):
        if isinstance(step, int):
            yield {"index": step}
        else:
            yield {"key" if finding.of_key and index == last else "value": step}


VALIDATION = (
    Action(
        service=SERVICE,
        name="ValidatePolicy",
        needs=needing((f"{SERVICE}:ValidatePolicy", "")),
        handle=_validate,
        audited=("policyType", "validatePolicyResourceType"),
    ),
)
