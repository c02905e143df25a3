"""*Simulator*: what policies allow, and which statement decides.

It takes a principal of the account, pasted policies, or both. The decision is that of
the API's simulation; the statements' texts and the reason are shown only to users who
may read the policies.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from broker.administration.action_picker import (
    ActionPicker,
    read_picker,
    read_place,
    view_picker,
    without,
)
from broker.administration.policy_check import Problem, inspect_text
from broker.administration.policy_texts import PolicyTexts, read_texts
from broker.administration.services import read_declared
from broker.administration.simulated_answers import SimulationRow, make_rows
from broker.console.forms import Form, newlines
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import ValidationError
from broker.policy import CONTEXT_KEYS, PolicyKind, find_context_key, parse_policy
from broker.policy.catalogue import ServiceEntry, service_prefixes
from broker.policy.context import DECLARED_TYPES

SECTION = "simulator"
PATH = "/console/simulator"
KINDS = ("role", "user", "group")
TYPES = (
    *("string", "stringList", "boolean", "booleanList", "numeric", "numericList"),
    *("date", "dateList", "ip", "ipList", "binary", "binaryList"),
)
_BAD_REQUEST = 400
_POLICIES_MAX = 10
_KEYS_MAX = 40
_ACTIONS_MAX = 100
_RESOURCES_MAX = 20
_ROWS_MAX = 60


class SimulatedKey(Struct, frozen=True):
    """A condition key and its values in the form."""

    name: str
    type: str = "string"
    values: tuple[str, ...] = ()


class SimulationForm(Struct, frozen=True, kw_only=True):
    """The simulator's form."""

    kind: str
    name: str
    policies: tuple[str, ...]
    boundary: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    keys: tuple[SimulatedKey, ...]
    caller: str
    resource_policy: str
    owner: str
    picker: ActionPicker | None

    @property
    def has_principal(self) -> bool:
        """Whether a principal of the account is simulated."""
        return self.kind in KINDS

    def source_arn(self, account: str) -> str:
        """The principal's ARN; the name may include a path."""
        return f"arn:aws:iam::{account}:{self.kind}/{self.name.strip('/')}"


async def _page(visit: Visit) -> Response:
    simulation = _read(visit.form) if visit.posted else _begin(visit)
    problem: Problem | None = None
    texts = PolicyTexts({})
    rows: tuple[SimulationRow, ...] = ()
    if visit.posted:
        with visit.attempt():
            command, *places = visit.text("do").split(":")
            place = read_place(places[-1]) if places else None
            if command == "simulate":
                problem = _find_problem(simulation)
                if problem is None:
                    rows, texts = await _simulate(visit, simulation)
            elif command == "find-keys":
                simulation = await _with_keys(visit, simulation)
            else:
                simulation = _apply_command(simulation, command, place, visit.form)
        if visit.refusal is not None:
            problem = Problem(message=visit.problem)
        elif problem is not None:
            visit.status = _BAD_REQUEST
    declared = await read_declared(visit)
    return await visit.show(
        "admin/simulator.html",
        action=PATH,
        simulation=simulation,
        kinds=KINDS,
        types=TYPES,
        problem=problem,
        rows=rows[:_ROWS_MAX],
        rows_more=max(0, len(rows) - _ROWS_MAX),
        refused=texts.refused,
        view=view_picker(simulation.picker, simulation.actions, declared)
        if simulation.picker
        else None,
        services=(*declared, *service_prefixes()),
        known_keys=[
            *(k.name for k in CONTEXT_KEYS.values() if "*" not in k.name),
            *_declared_keys(simulation, declared),
        ],
        known_resources=_declared_resources(simulation, declared),
    )


def _begin(visit: Visit) -> SimulationForm:
    kind, _, path = visit.text("principal")[:2048].rpartition(":")[2].partition("/")
    return SimulationForm(
        kind=kind if kind in KINDS else "role",
        name=path,
        policies=(),
        boundary="",
        actions=visit.form.lines("action")[:1],
        resources=visit.form.lines("resource")[:1],
        keys=(),
        caller="",
        resource_policy="",
        owner="",
        picker=None,
    )


def _read(form: Form) -> SimulationForm:
    return SimulationForm(
        kind=_text(form, "kind"),
        name=_text(form, "name")[:512],
        policies=tuple(
            newlines(form.find(f"policy{number}") or "")
            for number in range(_POLICIES_MAX)
            if form.find(f"policy{number}") is not None
        ),
        boundary=newlines(form.find("boundary") or ""),
        actions=form.lines("actions"),
        resources=form.lines("resources"),
        keys=tuple(_read_keys(form)),
        caller=_text(form, "caller"),
        resource_policy=newlines(form.find("resource_policy") or ""),
        owner=_text(form, "owner"),
        picker=read_picker(form),
    )


def _read_keys(form: Form) -> Iterable[SimulatedKey]:
    for number in range(_KEYS_MAX):
        name = form.find(f"k{number}.name")
        if name is None:
            return
        kind = form.find(f"k{number}.type") or "string"
        values = form.lines(f"k{number}.values")
        yield SimulatedKey(name.strip(), kind if kind in TYPES else "string", values)


def _apply_command(
    simulation: SimulationForm, command: str, place: int | None, form: Form
) -> SimulationForm:
    policies, keys = simulation.policies, simulation.keys
    changes: dict[str, dict[str, Any]] = {
        "add-policy": {"policies": (*policies, "")[:_POLICIES_MAX]},
        "remove-policy": {"policies": without(policies, place)},
        "add-key": {"keys": (*keys, SimulatedKey(""))[:_KEYS_MAX]},
        "remove-key": {"keys": without(keys, place)},
    }
    if command in changes:
        return replace(simulation, **changes[command])
    if command.startswith("pick"):
        if simulation.picker is None:
            return replace(simulation, picker=ActionPicker(statement=0))
        new = simulation.picker.find_added(command, form, simulation.actions)
        return replace(
            simulation,
            actions=(*simulation.actions, *new),
            picker=simulation.picker.apply(command, place),
        )
    return simulation


def _find_problem(simulation: SimulationForm) -> Problem | None:
    kinds = {
        **{
            f"Policy {number}": (text, PolicyKind.IDENTITY)
            for number, text in enumerate(simulation.policies, 1)
        },
        "Boundary": (simulation.boundary, PolicyKind.BOUNDARY),
        "Resource policy": (simulation.resource_policy, PolicyKind.RESOURCE),
    }
    for name, (text, kind) in kinds.items():
        if not text.strip():
            continue
        problem = inspect_text(text, kind, parse_policy).problem
        if problem is not None:
            return replace(problem, message=f"{name}: {problem.message}")
    return None


async def _simulate(
    visit: Visit, simulation: SimulationForm
) -> tuple[tuple[SimulationRow, ...], PolicyTexts]:
    if not simulation.actions:
        raise ValidationError("Enter at least one action, such as s3:GetObject.")
    if (
        len(simulation.actions) > _ACTIONS_MAX
        or len(simulation.resources) > _RESOURCES_MAX
    ):
        raise ValidationError(
            f"Enter at most {_ACTIONS_MAX} actions and {_RESOURCES_MAX} resources at a"
            " time."
        )
    params = {**_policies_given(simulation), **_request_given(simulation)}
    if simulation.has_principal:
        source = simulation.source_arn(visit.who.session.account)
        result = await visit.iam(
            "SimulatePrincipalPolicy", PolicySourceArn=source, **params
        )
        texts = await read_texts(
            visit, simulation.kind, simulation.name.rpartition("/")[2]
        )
    else:
        result = await visit.iam("SimulateCustomPolicy", **params)
        texts = PolicyTexts({})
    pasted: dict[str, str] = {
        f"PolicyInputList.{number}": text
        for number, text in enumerate(params.get("PolicyInputList") or (), 1)
    }
    pasted["PermissionsBoundaryPolicyInputList.1"] = simulation.boundary
    pasted["ResourcePolicy"] = simulation.resource_policy
    all_texts = PolicyTexts({**texts.found, **pasted}, refused=texts.refused)
    return make_rows(result["EvaluationResults"], all_texts), texts


def _policies_given(simulation: SimulationForm) -> dict[str, Any]:
    boundary = simulation.boundary if simulation.boundary.strip() else None
    resource = (
        simulation.resource_policy if simulation.resource_policy.strip() else None
    )
    texts = [text for text in simulation.policies if text.strip()]
    if not simulation.has_principal and not texts:
        raise ValidationError("Paste a policy, or choose a principal.")
    if simulation.has_principal and not simulation.name:
        raise ValidationError(f"Enter the name of the {simulation.kind}.")
    return {
        "PolicyInputList": texts if texts or not simulation.has_principal else None,
        "PermissionsBoundaryPolicyInputList": [boundary] if boundary else None,
        "ResourcePolicy": resource,
    }


def _request_given(simulation: SimulationForm) -> dict[str, Any]:
    owner = simulation.owner
    return {
        "ActionNames": list(simulation.actions),
        "ResourceArns": list(simulation.resources) or None,
        "CallerArn": simulation.caller or None,
        "ResourceOwner": f"arn:aws:iam::{owner}:root"
        if owner.isascii() and owner.isdigit()
        else owner or None,
        "ContextEntries": [
            _entry(key) for key in simulation.keys if key.name and key.values
        ]
        or None,
        "MaxItems": _ACTIONS_MAX,
    }


def _entry(key: SimulatedKey) -> Mapping[str, Any]:
    kind = key.type
    if len(key.values) > 1 and not kind.endswith("List"):
        kind = f"{kind}List"
    return {
        "ContextKeyName": key.name,
        "ContextKeyValues": list(key.values),
        "ContextKeyType": kind,
    }


async def _with_keys(visit: Visit, simulation: SimulationForm) -> SimulationForm:
    """The form with a row for each condition key of the policies and the services."""
    texts = [text for text in simulation.policies if text.strip()] or None
    if simulation.has_principal:
        source = simulation.source_arn(visit.who.session.account)
        result = await visit.iam(
            "GetContextKeysForPrincipalPolicy",
            PolicySourceArn=source,
            PolicyInputList=texts,
        )
    else:
        result = await visit.iam("GetContextKeysForCustomPolicy", PolicyInputList=texts)
    brought = _declared_keys(simulation, await read_declared(visit))
    have = {key.name.lower() for key in simulation.keys}
    types = {name.lower(): kind for name, kind in brought.items()}
    names = {name.lower(): name for name in (*brought, *result["ContextKeyNames"])}
    new = (
        SimulatedKey(name, types.get(lowered) or _type_of(name))
        for lowered, name in names.items()
        if lowered not in have
    )
    return replace(simulation, keys=(*simulation.keys, *new)[:_KEYS_MAX])


def _type_of(name: str) -> str:
    known = find_context_key(name)
    return known.type.entry_type if known else "string"


def _named(
    simulation: SimulationForm, declared: Mapping[str, ServiceEntry]
) -> list[ServiceEntry]:
    """The registered services whose actions are asked about."""
    prefixes = {action.partition(":")[0].lower() for action in simulation.actions}
    return [entry for prefix, entry in declared.items() if prefix in prefixes]


def _declared_keys(
    simulation: SimulationForm, declared: Mapping[str, ServiceEntry]
) -> dict[str, str]:
    """The condition keys that these services may bring, with the form's types.

    Keys that stand for many are not among them.
    """
    return {
        key: DECLARED_TYPES[kind].entry_type
        for entry in _named(simulation, declared)
        for key, kind in entry.condition_keys.items()
        if "*" not in key
    }


def _declared_resources(
    simulation: SimulationForm, declared: Mapping[str, ServiceEntry]
) -> list[str]:
    """What the ARNs of these actions' resources look like."""
    actions = {action.lower() for action in simulation.actions}
    generator = (
        kind.arn
        for entry in _named(simulation, declared)
        for action in entry.actions.values()
        if f"{entry.prefix}:{action.name}".lower() in actions
        for kind in action.resource_types
    )
    return list(dict.fromkeys(generator))


def _text(form: Form, name: str) -> str:
    return (form.find(name) or "").strip()[:2048]


PAGES = (PageRoute(PATH, SECTION, _page, BOTH, long=True),)
