"""A registered service made ready to decide for: its routes and signature rules."""

from dataclasses import dataclass, replace

from broker.errors import AccessDenied
from broker.model.registered import RegisteredService
from broker.proofs.sigv4 import SignedFor
from broker.protocols.enforcement import (
    SIGNED_CHUNKS,
    CompiledService,
    DefinitionRejected,
    parse_definition,
)
from broker.protocols.sigv4 import SignatureRules


@dataclass(frozen=True, slots=True)
class ReadyService:
    """A service, its compiled definition, and what requests for it are signed for.

    ``without_body`` is for requests whose body is not known.
    """

    service: RegisteredService
    compiled: CompiledService
    signed_for: SignedFor
    without_body: SignedFor


def prepare_service(service: RegisteredService, home_region: str) -> ReadyService:
    """Make a stored service ready; ``home_region`` is for one that names no region.

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
    return ReadyService(
        service,
        compiled,
        signed_for,
        replace(signed_for, rules=replace(rules, believes_declared_hash=True)),
    )
