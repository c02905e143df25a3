"""Authenticates registered services by a token, or by a signature.

A proxy's subrequest carries its client's ``Authorization``, so the service's token has
its own header. Doors where nobody else's proof can stand in a header of the protocol's
take it there too, and no request with two. Every fault of a token gets the same answer.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import NoReturn

from broker.authn.scheme import ProofResult, Read, Scheme
from broker.errors import InvalidClientTokenId
from broker.identities.bearer_tokens import find_token_account, token_digest
from broker.identities.networks import is_within
from broker.identities.registered_services import TOKEN_PREFIX
from broker.model.account import AccountId
from broker.model.caller import Caller
from broker.model.principal import Principal
from broker.model.registered import service_arn
from broker.model.request import Given, RequestContext
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.readings import TOKENS_OF_SERVICES

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

    async def prove(
        self, request: RequestContext, service: str, action: str, read: Read
    ) -> tuple[ProofResult, Given]:
        """The service that asks; then the question is read.

        Raises:
            InvalidClientTokenId: there is no token, or it does not count.
            StoreUnavailableError: the directory is away.
        """
        shown = [
            (name, value)
            for name, value in request.raw.headers
            if name == TOKEN_HEADER or name in self._bearers
        ]
        if not shown and self._otherwise is not None:
            return await self._otherwise.prove(request, service, action, read)
        if not shown:
            _refuse("the request has no service token; a proxy may have dropped it")
        if len(shown) > 1:
            _refuse("the request has several proofs")
        secret = shown[0][1].decode("latin-1")
        if shown[0][0] in self._bearers and secret[: len(_BEARER)].lower() == _BEARER:
            secret = secret[len(_BEARER) :].strip()
        caller = await self._find_caller(secret, request)
        return ProofResult(caller=caller), await read()

    async def _find_caller(self, secret: str, request: RequestContext) -> Caller:
        account = find_token_account(TOKEN_PREFIX, secret)
        if account is None:
            _refuse("not the form of a service token")
        found = (await self._fresh.read(account, TOKENS_OF_SERVICES)).get(
            token_digest(secret)
        )
        if found is None:
            _refuse("no service has this token")
        token, service = found
        if token.expires_at <= request.now:
            _refuse(f"the service token {token.token_id} has expired")
        if not is_within(request.raw.source_ip, token.addresses):
            _refuse(f"the service token {token.token_id} is for other addresses")
        return _caller(account, service.name, token.token_id)


@lru_cache(1024)
def _caller(account: AccountId, name: str, token_id: str) -> Caller:
    principal = Principal.registered_service(
        account, arn=service_arn(account, name), name=name, token_id=token_id
    )
    return Caller(principal=principal)


def _refuse(detail: str) -> NoReturn:
    raise InvalidClientTokenId(detail=detail)
