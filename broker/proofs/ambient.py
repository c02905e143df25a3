"""The AWS credentials of the broker's environment.

Variables, a profile, a container's or an instance's metadata, in the order in
which AWS's SDKs look; botocore finds and renews them.
"""

import asyncio
from concurrent.futures import Future
from threading import Thread
from typing import Any

from broker.model.secret import Secret
from broker.proofs.upstream_client import UPSTREAM_SECONDS, KeyPair


class AmbientCredentialsError(Exception):
    """There are none, or they cannot be read; the text is for operators."""


class AmbientCredentials:
    """Finds them once, and has them renewed.

    Each reading has a thread of its own, for all who ask meanwhile: a source that hangs
    holds up nothing else, not even the broker's end.
    """

    def __init__(self) -> None:
        self._reading: Future[KeyPair | AmbientCredentialsError] | None = None
        self._found: Any = None  # botocore publishes no types

    async def find(self) -> KeyPair:
        """The credentials, valid for some minutes.

        Raises:
            AmbientCredentialsError: there are none within the time of a request.
        """
        reading = self._reading
        if reading is None or reading.done():
            reading = self._reading = Future()
            Thread(target=self._read_into, args=(reading,), daemon=True).start()
        try:
            async with asyncio.timeout(UPSTREAM_SECONDS):
                outcome = await asyncio.shield(asyncio.wrap_future(reading))
        except TimeoutError as error:
            raise AmbientCredentialsError(
                "the broker's environment gave no AWS credentials in time"
            ) from error
        if isinstance(outcome, AmbientCredentialsError):
            raise outcome
        return outcome

    def _read_into(self, reading: "Future[KeyPair | AmbientCredentialsError]") -> None:
        try:
            reading.set_result(self._read())
        except AmbientCredentialsError as error:
            # As a result: an exception is logged where nobody waits any more.
            reading.set_result(error)

    def _read(self) -> KeyPair:
        from botocore.session import Session  # noqa: PLC0415  # only where it is needed

        try:
            if self._found is None:
                self._found = Session().get_credentials()
            frozen = self._found and self._found.get_frozen_credentials()
        except Exception as error:  # each source has errors of its own
            raise AmbientCredentialsError(
                f"the AWS credentials of the broker's environment: {error!s:.300}"
            ) from error
        if not frozen:
            raise AmbientCredentialsError(
                "the broker's environment has no AWS credentials"
            )
        return KeyPair(
            access_key_id=frozen.access_key,
            secret_access_key=Secret(frozen.secret_key),
            session_token=frozen.token or "",
        )
