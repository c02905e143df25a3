"""The identity of a machine that is registered as an instance, and the choice of one."""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.agent.broker_api import (
    UNEXPECTED,
    AccessKey,
    BrokerApi,
    BrokerAwayError,
    BrokerRefusedError,
    new_nonce,
    signed_token,
)
from broker.agent.configuration import AgentSettings
from broker.agent.credentials import Credentials, Grant
from broker.agent.identity import (
    BrokerIdentity,
    Identity,
    IdentityEndedError,
    IdentityUnusableError,
    RoleIdentity,
    read_credentials,
)
from broker.agent.private_files import read_text, write_private

STATE_FILE = "instance.json"
_REGISTRATION_SECONDS = 900
_JOIN_SECONDS = 60
_GONE = "InvalidClientTokenId"
_TAKEN = "InvalidPublicKey"
_POLL_SECONDS_MIN, _POLL_SECONDS_MAX = 1.0, 3600.0


@dataclass(frozen=True, kw_only=True)
class InstanceState:
    """What an instance keeps between two starts.

    ``admitted_by`` is the SHA-256 of the join token. An ``is_ended`` one stays so until
    there is another join token, or someone deletes the file.
    """

    private_key: bytes = field(repr=False)
    instance_arn: str = ""
    admitted_by: str = ""
    is_ended: bool = False

    @classmethod
    def load(cls, path: Path) -> "InstanceState | None":
        """The state in a file, if there is one.

        Raises:
            IdentityUnusableError: it cannot be read.
        """
        try:
            row = json.loads(path.read_bytes())
            key = base64.b64decode(row["PrivateKey"], validate=True)
            Ed25519PrivateKey.from_private_bytes(key)  # raises
            return cls(
                private_key=key,
                instance_arn=str(row["InstanceArn"]),
                admitted_by=str(row["AdmittedBy"]),
                is_ended=bool(row["IsEnded"]),
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise IdentityUnusableError(f"{path} cannot be read: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise IdentityUnusableError(
                f"{path} is damaged ({error}); delete it to register again"
            ) from error

    def save(self, path: Path) -> None:
        """Write it, durably.

        Raises:
            IdentityUnusableError: it cannot be written.
        """
        row = {
            "PrivateKey": base64.b64encode(self.private_key).decode(),
            "InstanceArn": self.instance_arn,
            "AdmittedBy": self.admitted_by,
            "IsEnded": self.is_ended,
        }
        try:
            write_private(path, json.dumps(row) + "\n")
        except OSError as error:
            raise IdentityUnusableError(f"{path} cannot be written: {error}") from error


class InstanceIdentity(BrokerIdentity):
    """A registered machine, which signs with a key that never leaves it."""

    def __init__(
        self, settings: AgentSettings, api: BrokerApi, *, saves: bool = True
    ) -> None:
        super().__init__(api)
        self._settings = settings
        self._saves = saves
        self._identity = settings.identity
        self._seconds = settings.duration_seconds
        self._region = settings.region
        self._path = settings.state_dir / STATE_FILE
        self._state: InstanceState | None = None

    def get_grant(self) -> Grant:
        """See `Identity`."""
        answer = self._ask("GetInstanceAssociation", {})
        return _grant(answer)

    def get_credentials(self, delivery: str) -> tuple[Credentials, Grant]:
        """See `Identity`."""
        seconds = str(self._seconds) if self._seconds else ""
        params = {"RoleDelivery": delivery, "DurationSeconds": seconds}
        answer = self._ask("GetInstanceCredentials", params)
        return read_credentials(answer, self._api), _grant(answer)

    def _ask(self, action: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        state = self._require_state()
        claims = {
            "iss": state.instance_arn,
            "sub": state.instance_arn,
            "aud": f"broker:{action}",
            "iat": int(self._api.now().timestamp()),
            "jti": new_nonce(),
        }
        key = Ed25519PrivateKey.from_private_bytes(state.private_key)
        proved = {
            "InstanceArn": state.instance_arn,
            "InstanceProof": signed_token(claims, key.sign),
        }
        try:
            answer: Mapping[str, Any] = self._api.call(action, {**proved, **params})
        except BrokerRefusedError as error:
            if error.code != _GONE:
                raise
            self._state = replace(state, is_ended=True)
            # On a full disk the next start learns it again.
            with contextlib.suppress(IdentityUnusableError):
                self._keep(self._state)
            raise IdentityEndedError(_ended(state)) from error
        return answer

    def _require_state(self) -> InstanceState:
        """The state of a registered instance; it registers if it has to."""
        state = self._state
        if state is not None and state.instance_arn and not state.is_ended:
            return state
        with self._alone():
            return self._register_if_needed(InstanceState.load(self._path))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for another process of the agent that registers this machine.

        It would use the token up with a key that this one writes over.
        """
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise IdentityUnusableError(
                f"{self._path.parent} cannot be used: {error.strerror}"
            ) from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _register_if_needed(self, state: InstanceState | None) -> InstanceState:
        """``state`` is what the file says now; deleted, it ends no more."""
        proof, digest = self._read_proof(state)
        if state is not None and state.is_ended and digest == state.admitted_by:
            self._state = state
            raise IdentityEndedError(_ended(state))
        if state is None or state.is_ended:
            state = _new_state()
        if not state.instance_arn:
            # The key is kept first: should the answer be lost, asking again with the
            # same key is not a second use of the token.
            self._keep(replace(state, admitted_by=digest))
            try:
                arn = self._register(state, proof)
            except BrokerRefusedError as error:
                if error.code == _TAKEN:
                    # By this machine, it seems: the answer was lost, and what admitted
                    # it then counts no more. The next try is with another key.
                    self._keep(_new_state())
                raise
            state = replace(state, admitted_by=digest, instance_arn=arn)
            self._keep(state)
        self._state = state
        return state

    def _read_proof(self, state: InstanceState | None) -> tuple[str, str]:
        """What admits the machine, and its digest; a registered one needs none."""
        identity = self._identity
        path = identity.join_token_file or identity.web_identity_token_file
        known = state if state is not None and state.instance_arn else None
        if known is not None and identity.join_token_file is None:
            # Tokens and certificates are renewed: that must not revive an instance.
            return "", known.admitted_by
        if path is None:
            return "", ""  # a certificate, which signs
        try:
            proof = read_text(path)
        except (OSError, ValueError) as error:
            if known is not None:
                return "", known.admitted_by  # the file may go once it was used
            raise IdentityUnusableError(
                f"{path} cannot be read, and this machine is not registered: {error}"
            ) from error
        return proof, hashlib.sha256(proof.encode()).hexdigest()

    def _register(self, state: InstanceState, proof: str) -> str:
        key = Ed25519PrivateKey.from_private_bytes(state.private_key)
        public_key = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        if self._identity.certificate_file is not None:
            proof = self._make_join_token()
            action, params = "RegisterInstance", {"JoinToken": proof}
        elif self._identity.join_token_file is not None:
            action, params = "RegisterInstance", {"JoinToken": proof}
        else:
            action = "RegisterInstanceWithWebIdentity"
            params = {
                "WebIdentityToken": proof,
                "InstanceProfileArn": self._identity.instance_profile_arn,
            }
        answer = self._api.call(
            action, {**params, "PublicKey": public_key, "Region": self._region}
        )
        return _grant(answer).instance_arn

    def _make_join_token(self) -> str:
        """One for this machine, made as the role that its certificate opens."""
        from broker.agent.certificate import CertificateIdentity  # noqa: PLC0415

        settings = replace(self._settings, duration_seconds=_REGISTRATION_SECONDS)
        credentials, _ = CertificateIdentity(settings, self._api).get_credentials("")
        answer = self._api.call(
            "CreateJoinToken",
            {
                "InstanceProfileName": _name_of(self._identity.instance_profile_arn),
                "DurationSeconds": str(_JOIN_SECONDS),
            },
            key=AccessKey(
                credentials.access_key_id,
                credentials.secret_access_key,
                credentials.session_token,
            ),
        )
        return str(answer.get("Token") or "")

    def _keep(self, state: InstanceState) -> None:
        if self._saves:
            state.save(self._path)
        self._state = state


def _name_of(arn: str) -> str:
    return arn.rpartition("/")[2]


def _new_state() -> InstanceState:
    return InstanceState(private_key=Ed25519PrivateKey.generate().private_bytes_raw())


def _grant(answer: Mapping[str, Any]) -> Grant:
    association = answer.get("InstanceAssociation")
    if not isinstance(association, dict) or not association.get("InstanceArn"):
        raise BrokerAwayError("the answer names no instance")
    arn = str(association["InstanceArn"])
    try:
        return Grant(
            account=arn.split(":", 5)[4],
            role_name=str(association.get("RoleName") or ""),
            role_arn=str(association.get("RoleArn") or ""),
            instance_arn=arn,
            profile_arn=str(association.get("InstanceProfileArn") or ""),
            profile_id=str(association.get("InstanceProfileId") or ""),
            association_id=str(association.get("AssociationId") or ""),
            poll_seconds=_poll_seconds(association),
        )
    except UNEXPECTED as error:
        raise BrokerAwayError("the answer is not about an instance") from error


def _poll_seconds(results: Mapping[str, Any]) -> float:
    seconds = float(results.get("PollSeconds") or 0)
    if not 0 <= seconds <= _POLL_SECONDS_MAX:
        raise ValueError("PollSeconds is out of range")
    return max(seconds, _POLL_SECONDS_MIN)


def _ended(state: InstanceState) -> str:
    return (
        f"the broker does not know {state.instance_arn} any more; it was ended, or"
        " belongs to another broker"
    )


def make_identity(
    settings: AgentSettings, api: BrokerApi, *, saves: bool = True
) -> Identity:
    """The identity that the settings describe; it ``saves`` what it learns."""
    if settings.identity.is_instance:
        return InstanceIdentity(settings, api, saves=saves)
    if settings.identity.certificate_file is not None:
        # X.509 costs memory, which agents with other identities do not pay.
        from broker.agent.certificate import CertificateIdentity  # noqa: PLC0415

        return CertificateIdentity(settings, api)
    return RoleIdentity(settings, api)
