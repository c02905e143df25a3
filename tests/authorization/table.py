"""The authorization table: what every action needs, and who may do it.

Write it anew with ``python -m tests.authorization.table`` after adding an action or
changing what one needs, and read the difference before it is committed.
"""

import asyncio
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from broker.actions.action import Action, Call, Proof
from broker.audit.entry import AuditEntry
from broker.compose.services import Services
from broker.errors import BrokerError
from broker.model.request import Door, Params
from broker.permit.need import Need
from broker.proofs.federated import federated_caller
from tests.authorization.callers import KINDS, Kind, open_installation
from tests.authorization.inputs import make_input
from tests.authorization.permissions import PAGE, fill
from tests.support.calls import perform, told
from tests.support.iam import UNLIMITED
from tests.support.raw import raw_request

FILE = Path(__file__).parent / "table.txt"
WRITE = ".venv/bin/python -m tests.authorization.table"
_RAW = raw_request(headers=((b"user-agent", b"table"),), secure=True)
_MARKS = {
    "": "A",
    "AccessDenied": "d",
    "InvalidClientTokenId": "t",
    "MissingAuthenticationToken": "m",
    "ValidationError": "v",
}
_LEGEND = (
    "A  allowed",
    "d  AccessDenied",
    "t  InvalidClientTokenId: such credentials may not call this service",
    "m  MissingAuthenticationToken: the call must be signed",
    "v  ValidationError: the call makes no sense for such a caller",
    "x  another error: what is asked for is not there, or not for such a caller",
    ".  the call proves its caller in its body, in another way",
)
_PROOFS = {
    Proof.JOIN_TOKEN: "join token",
    Proof.MACHINE_TOKEN: "web identity token",
    Proof.INSTANCE: "instance",
    Proof.SAML: "SAML assertion",
    Proof.WEB_IDENTITY: "web identity token",
    Proof.CERTIFICATE: "certificate",
    Proof.LDAP: "person of a directory",
}


_WIDTH = 56
"""Fixed, so that a new action changes one line only."""


class MadeUpInputRefusedError(Exception):
    """An action did not take its input: give it a value in ``inputs.VALUES``."""


_ASKED = {proof: (title,) for proof, title in _PROOFS.items()}
_SIGNED = (
    "user, AdministratorAccess",
    "role session, AdministratorAccess",
    "console, AdministratorAccess",
)


async def make_table(services: Services) -> str:
    """The whole table as text."""
    actions = sorted(
        services.registry, key=lambda action: (action.service, action.name)
    )
    lines = ["# What every action needs, and who may do it", f"# Written by: {WRITE}"]
    lines += ["", "## Callers", ""]
    lines += [f"{_column(number)}  {kind.title}" for number, kind in enumerate(KINDS)]
    lines += ["", "## Who may", "", *_LEGEND, ""]
    head = "".join(_column(number) for number in range(len(KINDS)))
    lines.append(f"{'':{_WIDTH}}{head}")
    for action in actions:
        row = [await _cell(services, action, kind) for kind in KINDS]
        lines.append(f"{_name(action):{_WIDTH}}{''.join(row)}")
    lines += ["", "## Permission, resource, condition keys besides the call's own", ""]
    for action in actions:
        lines += await _needs_lines(services, action)
    return "\n".join(lines) + "\n"


def _column(number: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[number]


def _name(action: Action) -> str:
    return f"{action.service}:{action.name}"


async def _cell(services: Services, action: Action, kind: Kind) -> str:
    """What the real pipeline answers up to the action's own work."""
    proof = _PROOFS.get(action.proof)
    if proof is not None and kind.title != proof:
        return "."
    identity = None if action.proof is Proof.SIGNATURE else kind.identity
    harmless = replace(action, handle=_nothing, writes=False)
    try:
        await perform(
            services,
            harmless,
            make_input(action.service, action.name),
            told(kind.caller, identity) if kind.caller or identity else None,
            door=Door.API,
            raw=_RAW,
            request_id="table",
        )
    except BrokerError as error:
        return _MARKS.get(error.code, "x")
    return _MARKS[""]


async def _nothing(_given: Params, _call: Call) -> Mapping[str, Any]:
    return {}


def _call(services: Services, action: Action, kind: Kind) -> Call:
    request = services.pipeline.receive(_RAW, "table", Door.API)
    caller = federated_caller(kind.identity) if kind.identity else kind.caller
    assert caller is not None
    return Call(
        request=request,
        now=request.now,
        action=action,
        region=request.region,
        caller=caller,
        directory=services.stores.directory,
        record=AuditEntry.of(request, ""),
        rates=UNLIMITED,
        identity=kind.identity,
    )


async def needs_of(services: Services, action: Action) -> tuple[Need, ...]:
    """The permissions of an action, for the first caller of `_ASKED` that may call."""
    params = make_input(action.service, action.name)
    refusals = []
    for kind in KINDS:
        if kind.title not in _ASKED.get(action.proof, _SIGNED):
            continue
        try:
            return await action.needs(params, _call(services, action, kind))
        except BrokerError as error:
            refusals.append(str(error))
    raise MadeUpInputRefusedError(f"{_name(action)}: {' / '.join(refusals)}")


async def _needs_lines(services: Services, action: Action) -> list[str]:
    try:
        needs = await needs_of(services, action)
    except MadeUpInputRefusedError as error:
        return [f"{_name(action)}: refused ({error})"]
    if not needs:
        return [f"{_name(action)}: none"]
    return [
        f"{_name(action)}: {need.action} on {need.resource}{_keys(need.context)}"
        for need in needs
    ]


def _keys(keys: Iterable[str]) -> str:
    listed = sorted(keys)
    return f" [{', '.join(listed)}]" if listed else ""


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_installation(Path(folder)) as services:
            table = await make_table(services)
    FILE.write_text(table, encoding="utf-8")
    PAGE.write_text(fill(PAGE.read_text("utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(_main())
