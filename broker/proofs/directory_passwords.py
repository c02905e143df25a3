"""Passwords of a directory's people: limits as for IAM users, and the proof.

Each directory has queues of its own: those who wait for one that hangs keep nobody else
waiting.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from broker.errors import (
    IdpCommunicationError,
    IdpRejectedClaim,
    InvalidIdentityToken,
    Throttling,
)
from broker.model.entities import LdapProvider
from broker.model.names import fold_name
from broker.model.request import Params, RequestContext
from broker.model.secret import Secret
from broker.proofs.attempts import Attempts, limit_of, limit_of_address
from broker.proofs.claimed_providers import ClaimedProvider
from broker.proofs.federated import account_of_arn
from broker.proofs.federated_schemes import proved_by
from broker.proofs.ldap.people import PersonRefusedError
from broker.proofs.ldap.prover import LdapProof, LdapProver
from broker.proofs.scheme import ProofRefused, ProofResult, Read


class DirectoryPasswords:
    """Tries names and passwords, within limits."""

    def __init__(
        self, prover: LdapProver, new_attempts: Callable[[], Attempts]
    ) -> None:
        self._prover = prover
        self._new_attempts = new_attempts
        self._attempts: dict[str, Attempts] = {}

    async def prove(
        self,
        provider: LdapProvider,
        username: str,
        password: Secret,
        *,
        address: str,
        now: datetime,
    ) -> LdapProof:
        """The person of a name and a password.

        Raises:
            ProofRefused: they are wrong, or there were too many wrong ones; or the
                directory could not be asked.
        """
        attempts = self._attempts.get(provider.directory)
        if attempts is None:
            attempts = self._attempts[provider.directory] = self._new_attempts()

        @asynccontextmanager
        async def attempt(subject: str) -> AsyncIterator[None]:
            # By subject, since a name can be written in many ways.
            of = (
                ("directory-password", provider.directory, subject)
                if subject
                else ("directory-name", provider.directory, fold_name(username))
            )
            most = self._prover.people_of(provider).wrong_passwords_max
            limit = limit_of(*of, most=most)
            async with attempts.one([limit], wrong=PersonRefusedError):
                yield

        by_address = limit_of_address(address, f"directory/{provider.directory}")
        try:
            async with attempts.one([by_address], wrong=IdpRejectedClaim):
                return await self._prover.prove(
                    provider, username, password, now, attempt
                )
        except (IdpRejectedClaim, IdpCommunicationError, Throttling) as error:
            claimed = ClaimedProvider(provider.account, provider)
            raise ProofRefused.of(error, claimed) from error


class LdapScheme:
    """``LDAPUsername`` and ``LDAPPassword`` prove the caller, as MinIO has it.

    ``providers`` are the ARNs of those that the operator lets programs use.
    """

    def __init__(
        self,
        passwords: DirectoryPasswords,
        prover: LdapProver,
        providers: Sequence[str],
    ) -> None:
        self._passwords = passwords
        self._prover = prover
        self._providers = providers

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove; the password is not handed on.

        Raises:
            ValidationError: the role's ARN is malformed.
            InvalidIdentityToken: no provider of the role's account may be used.
            ProofRefused: the password is not a proof.
        """
        params = dict(await read())
        password = Secret(params.pop("LDAPPassword"))
        provider = await self._get_provider(params.get("RoleArn"))
        proof = await self._passwords.prove(
            provider,
            params.pop("LDAPUsername"),
            password,
            address=request.raw.source_ip,
            now=request.now,
        )
        return proved_by(proof.identity), params

    async def _get_provider(self, role_arn: str | None) -> LdapProvider:
        account = account_of_arn(role_arn, "role/") if role_arn else None
        for arn in self._providers:
            provider = await self._prover.find_by_arn(arn)
            if provider is not None and account in {None, provider.account}:
                return provider
        raise InvalidIdentityToken("Specified provider doesn't exist.")
