"""Authenticates the directory of an identity provider by its SCIM token.

A token is of one provider in one account, and both are where it leads: nothing in a
request names another. Every fault of a token gets the same answer.
"""

from typing import NoReturn

from broker.authn.scheme import ProofResult, Read
from broker.errors import InvalidClientTokenId
from broker.federation.provider_options import Provider, find_provider
from broker.federation.scim import provider_id_of
from broker.identities.bearer_tokens import find_token_account, token_digest
from broker.identities.networks import is_within
from broker.identities.scim_tokens import TOKEN_PREFIX
from broker.model.caller import Caller
from broker.model.principal import Principal
from broker.model.provisioned import ScimToken
from broker.model.request import Given, RequestContext
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.readings import TOKENS_OF_DIRECTORIES

PROVIDER = "Provider"
"""The member of an action's input that holds the token's provider."""

_SCHEME = "bearer "


class ScimScheme:
    """Authenticates by ``Authorization: Bearer``, for one account's address."""

    def __init__(self, fresh: FreshDirectory, account: str) -> None:
        self._fresh = fresh
        self._account = account

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Given]:
        """Prove, then read; the token's provider is added to what was read.

        Raises:
            InvalidClientTokenId: there is no token, or it does not count here.
            StoreUnavailableError: the directory is away.
        """
        sent = [v for n, v in request.raw.headers if n == b"authorization"]
        if len(sent) != 1:
            _refuse("no Authorization header, or several")
        text = sent[0].decode("latin-1")
        if text[: len(_SCHEME)].lower() != _SCHEME:
            _refuse("Authorization is not a bearer token")
        token = await self._find_token(text[len(_SCHEME) :].strip(), request)
        provider = await self._find_provider(token)
        principal = Principal.registered_service(
            token.account, arn=provider.arn, name="scim", token_id=token.token_id
        )
        caller = Caller(principal=principal)
        given = await read()
        return ProofResult(caller=caller), {**given, PROVIDER: provider}

    async def _find_token(self, secret: str, request: RequestContext) -> ScimToken:
        account = find_token_account(TOKEN_PREFIX, secret)
        if account is None or account != self._account:
            _refuse("not the form of a SCIM token, or one of another account")
        found = (await self._fresh.read(account, TOKENS_OF_DIRECTORIES)).get(
            token_digest(secret)
        )
        if found is None:
            _refuse("no directory has this token")
        if found.expires_at <= request.now:
            _refuse(f"the SCIM token {found.token_id} has expired")
        if not is_within(request.raw.source_ip, found.addresses):
            _refuse(f"the SCIM token {found.token_id} is for other addresses")
        return found

    async def _find_provider(self, token: ScimToken) -> Provider:
        provider = await find_provider(self._fresh, token.account, token.provider_arn)
        if provider is None or provider_id_of(provider) != token.provider_id:
            _refuse(f"the provider of the SCIM token {token.token_id} is gone")
        return provider


def _refuse(detail: str) -> NoReturn:
    raise InvalidClientTokenId(detail=detail)
