"""Passwords of a directory's people: limits as for IAM users, and the proof.

Each directory has queues of its own: those who wait for one that hangs keep nobody else
waiting.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from broker.authn.attempts import Attempts, limit_of, limit_of_address
from broker.authn.claimed_providers import ClaimedProvider
from broker.authn.scheme import ProofRefused
from broker.errors import (
    IdpCommunicationError,
    IdpRejectedClaim,
    Throttling,
)
from broker.federation.ldap.people import PersonRefusedError
from broker.federation.ldap.prover import LdapProof, LdapProver
from broker.model.entities import LdapProvider
from broker.model.secret import Secret


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
            limit = (
                limit_of("directory-password", provider.directory, subject)
                if subject
                else limit_of("directory-name", provider.directory, username.lower())
            )
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
