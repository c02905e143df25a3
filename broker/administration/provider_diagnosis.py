"""*Diagnose*: paste a response or token and see the result of each check.

Nothing is minted, spent or stored, and the proof is not sent back to the browser.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from starlette.responses import Response

from broker.actions.signin.identity_providers import PROOF_CHARACTERS_MAX
from broker.administration import providers
from broker.administration.proof_issuer import find_provider_arn
from broker.administration.provider_page import expectations_of
from broker.administration.providers import ProviderRow, list_rows
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied, ValidationError
from broker.proofs.diagnosis import State, is_good

SECTION = providers.SECTION
_CHOICES_MAX = 200
_VALUES_MAX = 40
_BAD_TIME = "Enter a time such as 2026-01-31T08:30, in UTC."


async def _page(visit: Visit) -> Response:
    arn = visit.text("arn")[:2048]
    at = visit.text("at")[:40]
    results = None
    choices = await _choices(visit)
    if visit.posted:
        with visit.attempt():
            arn = arn or find_provider_arn(
                visit.text("proof")[:PROOF_CHARACTERS_MAX],
                visit.who.session.account,
                choices,
            )
            results = await visit.perform(
                "signin",
                "DiagnoseProof",
                ProviderArn=arn,
                Proof=visit.text("proof"),
                **_time(at),
            )
    outcome = results["Outcome"] if results else None
    return await visit.show(
        "admin/provider_diagnose.html",
        choices=choices,
        arn=arn,
        at=at,
        outcome=outcome,
        good=outcome is not None and is_good(outcome.checks),
        State=State,
        setup=expectations_of(visit, results["Provider"]) if results else {},
        values=_values(outcome.identity.context)
        if outcome and outcome.identity
        else (),
    )


def _time(text: str) -> dict[str, datetime]:
    """The parameter for the time of evaluation; empty for now.

    Raises:
        ValidationError: The text is not a time.
    """
    if not text:
        return {}
    try:
        match = datetime.fromisoformat(text)
        return {"At": match.replace(tzinfo=match.tzinfo or UTC).astimezone(UTC)}
    except (ValueError, OverflowError) as error:
        raise ValidationError(_BAD_TIME) from error


async def _choices(visit: Visit) -> list[ProviderRow]:
    """The providers to choose from; empty if they may not be listed."""
    try:
        rows, _ = await list_rows(visit)
    except AccessDenied:
        return []
    return rows[:_CHOICES_MAX]


def _values(context: Mapping[str, Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """What the proof says, as condition keys for trust policies."""
    return tuple(
        (name, ", ".join(values)[:400])
        for name, values in sorted(context.items())[:_VALUES_MAX]
    )


PAGES = (PageRoute(providers.DIAGNOSE, SECTION, _page, BOTH, long=True),)
