"""The AWS credentials of the broker's environment.

Variables, a profile, a container's or an instance's metadata, in the order in
which AWS's SDKs look; botocore finds and renews them.
"""

import threading
from typing import Any

from broker.federation.upstream_client import KeyPair
from broker.model.secret import Secret


class AmbientCredentials:
    """Finds them once, and has them renewed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: Any = None  # botocore publishes no types

    def find(self) -> KeyPair | None:
        """The credentials, valid for some minutes; None if there are none.

        May take seconds, where a metadata service has to answer.
        """
        from botocore.session import Session  # noqa: PLC0415  # only where it is needed

        with self._lock:
            if self._found is None:
                self._found = Session().get_credentials()
            if self._found is None:
                return None
            frozen = self._found.get_frozen_credentials()
        return KeyPair(
            access_key_id=frozen.access_key,
            secret_access_key=Secret(frozen.secret_key),
            session_token=frozen.token or "",
        )
