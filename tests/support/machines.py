"""Machines as the broker sees them: each with a key of its own.

Proofs are made by PyJWT, so that the agent's own are not their only source.
"""

import base64
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.model.account import AccountId
from broker.model.principal import EC2, Principal
from broker.model.session import Caller
from tests.support.broker import Key
from tests.support.in_process import InProcess, Reply

ACCOUNT = "111122223333"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)


def public_text(key: Ed25519PrivateKey) -> str:
    """``PublicKey`` of a registration."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass
class Machine:
    """A machine that talks to a broker in this process."""

    broker: InProcess
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    arn: str = ""

    @property
    def instance_id(self) -> str:
        return self.arn.rpartition("/")[2]

    async def join(self, token: str) -> Reply:
        """Register, and remember the ARN if that was accepted."""
        reply = await self.broker.call(
            "broker",
            "RegisterInstance",
            None,
            JoinToken=token,
            PublicKey=public_text(self.key),
        )
        if reply.status == 200:
            results = reply.parsed("broker", "RegisterInstance")
            self.arn = results["InstanceAssociation"]["InstanceArn"]
        return reply

    def caller(self) -> Caller:
        """Who it is once it has proved that."""
        return Caller(
            principal=Principal.aws_service(
                AccountId(ACCOUNT), service=EC2, arn=self.arn, name=self.instance_id
            ),
            access_key_id=self.instance_id,
        )

    def proof(self, action: str, **changed: Any) -> str:
        """A proof for an action; ``changed`` claims replace the right ones."""
        claims = {
            "iss": self.arn,
            "sub": self.arn,
            "aud": f"broker:{action}",
            "iat": int(self.broker.clock.now().timestamp()),
            "jti": uuid.uuid4().hex,
        } | changed
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(present, self.key, algorithm="EdDSA")

    async def ask(self, action: str, proof: str = "", **params: Any) -> Reply:
        """Call an action of machines."""
        return await self.broker.call(
            "broker",
            action,
            None,
            InstanceArn=self.arn,
            InstanceProof=proof or self.proof(action),
            **params,
        )

    async def association(self) -> dict[str, Any]:
        reply = await self.ask("GetInstanceAssociation")
        answer = reply.parsed("broker", "GetInstanceAssociation")
        instance_association: dict[str, Any] = answer["InstanceAssociation"]
        return instance_association

    async def credentials(self, **params: Any) -> Key:
        reply = await self.ask("GetInstanceCredentials", **params)
        answer = reply.parsed("broker", "GetInstanceCredentials")
        return Key.of(answer["Credentials"])


@dataclass
class Fleet:
    """An account with roles in instance profiles of the same names."""

    broker: InProcess
    root: Key

    @classmethod
    async def of(cls, broker: InProcess, *names: str) -> "Fleet":
        fleet = cls(broker, await broker.create_account(ACCOUNT))
        for name in names or ("web",):
            await fleet.add_profile(name)
        return fleet

    async def add_profile(self, name: str, trust: str = TRUST) -> None:
        await self.iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust)
        await self.iam("CreateInstanceProfile", InstanceProfileName=name)
        await self.iam(
            "AddRoleToInstanceProfile", InstanceProfileName=name, RoleName=name
        )

    async def iam(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.broker.ask("iam", operation, self.root, **params)

    async def manage(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.broker.ask("broker", operation, self.root, **params)

    async def token(self, profile: str = "web", **params: Any) -> str:
        made = await self.manage(
            "CreateJoinToken", InstanceProfileName=profile, **params
        )
        secret: str = made["Token"]
        return secret

    async def machine(self, profile: str = "web") -> Machine:
        """One that has registered."""
        machine = Machine(self.broker)
        reply = await machine.join(await self.token(profile))
        assert reply.status == 200, reply.body
        return machine

    async def who(self, key: Key) -> str:
        """``GetCallerIdentity``'s ARN, or the error's code."""
        reply = await self.broker.call("sts", "GetCallerIdentity", key)
        if reply.status != 200:
            return reply.code
        arn: str = reply.parsed("sts", "GetCallerIdentity")["Arn"]
        return arn
