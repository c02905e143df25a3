"""Authenticates registered services, directories and new machines by bearer tokens.

A proxy's subrequest carries its client's ``Authorization``, so a service's token has
its own header. Doors where no other proof can stand in a header of the protocol's
take it there too, and no request with two. A directory's token is of one provider in
one account, and both are where it leads: nothing in a request names another. Every
fault of a token gets the same answer.
"""

from collections.abc import Collection
from typing import NoReturn

from broker.errors import InvalidClientTokenId
from broker.kinds.bearer_tokens import (
    JOIN_TOKENS,
    SCIM_TOKENS,
    SERVICE_TOKENS,
    Token,
    TokenRules,
    token_digest,
)
from broker.model.account import AccountId
from broker.model.lineage import read_lineage
from broker.model.principal import EC2, Principal
from broker.model.registered import service_arn
from broker.model.request import Params, RequestContext
from broker.model.session import Caller
from broker.proofs.certified import find_certificate_end
from broker.proofs.provider_options import find_provider
from broker.proofs.scheme import ProofRefused, ProofResult, Read, Scheme
from broker.runtime.bounded import remembered
from broker.sessions.resolve import find_join_token_end
from broker.stores.directory.identities import find_join_token
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.readings import TOKENS, FreshDirectory

PROVIDER = "Provider"
"""The member of an action's input that holds the token's provider."""

REGISTERED = "RegisteredService"
"""The member of an action's input that holds the service whose token asks."""

TOKEN_HEADER = b"x-broker-service-token"
_BEARER = "bearer "


class ServiceScheme:
    """Authenticates by a service's token; without one, by the scheme ``otherwise``.

    ``bearers`` are further headers in which the token may stand, with or without the
    word ``Bearer``.
    """

    def __init__(
        self,
        fresh: FreshDirectory,
        otherwise: Scheme | None = None,
        *,
        bearers: Collection[bytes] = (),
    ) -> None:
        self._fresh = fresh
        self._otherwise = otherwise
        self._bearers = frozenset(bearers)
        self._named = self._bearers | {TOKEN_HEADER}

    async def prove(
        self, request: RequestContext, service: str, action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """The service that asks; then the question is read, and the service added.

        Raises:
            InvalidClientTokenId: there is no token, or it does not count.
            StoreUnavailableError: the directory is away.
        """
        rows = [
            (name, value) for name, value in request.raw.headers if name in self._named
        ]
        if not rows and self._otherwise is not None:
            return await self._otherwise.prove(request, service, action, read)
        if not rows:
            _refuse("the request has no service token; a proxy may have dropped it")
        if len(rows) > 1:
            _refuse("the request has several proofs")
        secret = rows[0][1].decode("latin-1")
        if rows[0][0] in self._bearers and secret[: len(_BEARER)].lower() == _BEARER:
            secret = secret[len(_BEARER) :].strip()
        token = await _get_remembered(SERVICE_TOKENS, secret, request, self._fresh)
        owner = await self._fresh.find(SERVICE, token.account, token.owner_id)
        if owner is None:
            _refuse(
                f"the service of the service token {token.token_id} no longer exists"
            )
        caller = _caller(token.account, owner.name, token.token_id)
        return ProofResult(caller=caller), {**await read(), REGISTERED: owner}


class ScimScheme:
    """Authenticates by ``Authorization: Bearer``, for one account's address."""

    def __init__(self, fresh: FreshDirectory, account: str) -> None:
        self._fresh = fresh
        self._account = account

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Prove, then read; the token's provider is added to what was read.

        Raises:
            InvalidClientTokenId: there is no token, or it does not count here.
            StoreUnavailableError: the directory is away.
        """
        sent = [v for n, v in request.raw.headers if n == b"authorization"]
        if len(sent) != 1:
            _refuse("no Authorization header, or several")
        text = sent[0].decode("latin-1")
        if text[: len(_BEARER)].lower() != _BEARER:
            _refuse("Authorization is not a bearer token")
        secret = text[len(_BEARER) :].strip()
        if SCIM_TOKENS.find_account(secret) != self._account:
            _refuse("not the form of a SCIM token, or one of another account")
        token = await _get_remembered(SCIM_TOKENS, secret, request, self._fresh)
        provider = await find_provider(self._fresh, token.account, token.provider_arn)
        if provider is None or provider.unique_id != token.owner_id:
            _refuse(f"the provider of the SCIM token {token.token_id} no longer exists")
        principal = Principal.registered_service(
            token.account, arn=provider.arn, name="scim", token_id=token.token_id
        )
        params = await read()
        caller = Caller(principal=principal)
        return ProofResult(caller=caller), {**params, PROVIDER: provider}


class JoinTokenScheme:
    """``JoinToken`` proves that a machine may register."""

    def __init__(self, directory: DirectoryReader, fresh: FreshDirectory) -> None:
        self._directory = directory
        self._fresh = fresh

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove. The token is used up by the registration itself.

        One that was used counts here: the machine that used it may ask again.

        Raises:
            InvalidClientTokenId: it is not a token of ours.
            ProofRefused: it has expired, or is for other addresses.
            StoreUnavailableError: the directory is away.
        """
        params = await read()
        secret = params["JoinToken"]
        account = JOIN_TOKENS.find_account(secret)
        if account is None:
            _refuse("not the form of a join token")
        digest = token_digest(secret)
        token = await find_join_token(self._directory, account, digest)
        if token is None:
            _refuse("there is no such join token")
        fault = JOIN_TOKENS.find_fault(
            token, request.raw.source_ip, request.now
        ) or await find_join_token_end(token, self._fresh)
        fault = fault or await find_certificate_end(
            read_lineage(token.lineage), self._fresh, request.now
        )
        if fault:
            raise ProofRefused(
                InvalidClientTokenId(detail=fault), account=token.account, arn=token.arn
            )
        principal = Principal.aws_service(
            token.account, service=EC2, arn=token.arn, name=token.token_id
        )
        return ProofResult(caller=Caller(principal=principal)), params


async def _get_remembered(
    of: TokenRules[Token], secret: str, request: RequestContext, fresh: FreshDirectory
) -> Token:
    account = of.find_account(secret)
    if account is None:
        _refuse(f"not the form of a {of.kind.label}")
    known = await fresh.read(account, TOKENS[of.kind])
    token: Token | None = known.get(token_digest(secret))
    if token is None:
        _refuse(f"there is no such {of.kind.label}")
    if fault := of.find_fault(token, request.raw.source_ip, request.now):
        _refuse(fault)
    return token


@remembered()
def _caller(account: AccountId, name: str, token_id: str) -> Caller:
    principal = Principal.registered_service(
        account, arn=service_arn(account, name), name=name, token_id=token_id
    )
    return Caller(principal=principal)


def _refuse(detail: str) -> NoReturn:
    raise InvalidClientTokenId(detail=detail)
