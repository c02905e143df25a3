"""*Diagnose*: paste a response or token and see the result of each check.

Nothing is minted, spent or stored, and the proof is not sent back to the browser. The
provider that it claims to be from is found among those that the user may read; the
claim is not verified, it only selects the provider to diagnose the proof with.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence

from starlette.responses import Response

from broker.actions.signin.identity_providers import PROOF_CHARACTERS_MAX
from broker.administration import providers
from broker.administration.provider_page import expectations_of
from broker.administration.providers import ProviderRow, list_rows
from broker.console.pages.audit_filters import read_time
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied, ValidationError
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.proofs.diagnosis import State, is_good
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.oidc.token import parse_token
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.peek import peek_response
from broker.protocols.saml.verify import find_unverified_issuer

_SHOWN_MAX = 300
_JWT_DOTS = 2

SECTION = providers.SECTION
_CHOICES_MAX = 200
_VALUES_MAX = 40


def find_provider_arn(
    proof: str, account: AccountId, rows: Iterable[ProviderRow]
) -> str:
    """Find the ARN of the provider that a response or token names.

    Raises:
        ValidationError: It is neither, or names no provider of the account.
    """
    text = proof.strip()
    if text.count(".") == _JWT_DOTS and not text.startswith("<"):
        return _of_token(text, account, rows)
    if text.startswith("<"):
        text = base64.b64encode(text.encode()).decode("ascii")
    try:
        issuer = find_unverified_issuer(text) or ""
    except SamlRejected as error:
        raise ValidationError(
            f"This is neither a SAML response nor a token: {error.detail}"
        ) from error
    known = {row.arn: row for row in rows}
    try:
        named = [pair.provider_arn for pair in peek_response(text).role_pairs]
    except SamlRejected:
        named = []
    for arn in named:
        if arn in known:
            return arn
    for row in known.values():
        metadata = row.health.metadata if row.health else None
        if metadata is not None and metadata.find_descriptor(issuer):
            return row.arn
    raise _unknown(issuer)


def _of_token(text: str, account: AccountId, rows: Iterable[ProviderRow]) -> str:
    try:
        issuer = parse_token(text).issuer
    except OidcRejected as error:
        raise ValidationError(f"This is not a token: {error.message}") from error
    arn = iam_arn(account, f"oidc-provider/{issuer.partition('://')[2]}")
    if any(row.arn == arn for row in rows):
        return arn
    raise _unknown(issuer)


def _unknown(issuer: str) -> ValidationError:
    if not issuer:
        return ValidationError("The response names no issuer; choose the provider.")
    return ValidationError(
        f"The proof is from the issuer {issuer[:_SHOWN_MAX]}, which is not a"
        " provider of this account. Add the provider, or send the proof elsewhere."
    )


async def _page(visit: Visit) -> Response:
    arn = visit.text("arn")[:2048]
    at = visit.text("at")[:40]
    answer = None
    choices = await _choices(visit)
    if visit.posted:
        with visit.attempt():
            arn = arn or find_provider_arn(
                visit.text("proof")[:PROOF_CHARACTERS_MAX],
                visit.who.session.account,
                choices,
            )
            answer = await visit.perform(
                "signin",
                "DiagnoseProof",
                ProviderArn=arn,
                Proof=visit.text("proof"),
                **({"At": moment} if (moment := read_time(at)) else {}),
            )
    outcome = answer["Outcome"] if answer else None
    return await visit.show(
        "admin/provider_diagnose.html",
        choices=choices,
        arn=arn,
        at=at,
        outcome=outcome,
        good=outcome is not None and is_good(outcome.checks),
        State=State,
        setup=expectations_of(visit, answer["Provider"]) if answer else {},
        values=_values(outcome.identity.context)
        if outcome and outcome.identity
        else (),
    )


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
