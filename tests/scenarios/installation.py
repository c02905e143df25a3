"""An account with one SAML and one OIDC provider, set up with boto3 alone."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from tests.support import saml_idp
from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.oidc_issuer import IssuerServer

CLIENT_ID = "client-1"
SAML_PROVIDER = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
READER = f"arn:aws:iam::{ACCOUNT}:role/team/Reader"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/Admin"


def policy(action: object, resource: object = "*", effect: str = "Allow") -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": effect, "Action": action, "Resource": resource},
        }
    )


def trust(*statements: tuple[object, object, object]) -> str:
    """A trust policy of (principal, action, condition) statements."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": action,
                    **({"Condition": condition} if condition else {}),
                }
                for principal, action, condition in statements
            ],
        }
    )


class Installation:
    """What the scenarios act on."""

    def __init__(self, broker: RunningBroker, issuer: IssuerServer) -> None:
        self.broker = broker
        self.issuer = issuer
        self.root = broker.create_account(alias="example")
        self.iam: Any = broker.client("iam", self.root)
        self.sts: Any = broker.client("sts")
        self.acs = f"{broker.url}/saml"
        self._set_up()

    def assertion(self, *roles: str, **knobs: object) -> str:
        """A SAMLResponse of the provider for these roles."""
        params: dict[str, object] = {
            "now": datetime.now(UTC),
            "assertion_id": f"_{uuid.uuid4().hex}",
            "recipient": self.acs,
            "response": {"destination": self.acs},
            "attributes": saml_idp.aws_attributes(
                role=[f"{role},{SAML_PROVIDER}" for role in roles or (READER,)]
            ),
        }
        return saml_idp.build_response(**{**params, **knobs})

    def web_identity(self, **more: Any) -> dict[str, Any]:
        """Exchange a fresh token for the reader's session."""
        params = {
            "RoleArn": READER,
            "RoleSessionName": "workload",
            "WebIdentityToken": self.issuer.issuer.token(),
        }
        answer: dict[str, Any] = self.sts.assume_role_with_web_identity(
            **{**params, **more}
        )
        return answer

    def saml(self, response: str | None = None, **more: Any) -> dict[str, Any]:
        """Exchange an assertion for the reader's session."""
        params = {
            "RoleArn": READER,
            "PrincipalArn": SAML_PROVIDER,
            "SAMLAssertion": response or self.assertion(),
        }
        answer: dict[str, Any] = self.sts.assume_role_with_saml(**{**params, **more})
        return answer

    def identity(self, answer: dict[str, Any]) -> dict[str, Any]:
        """``GetCallerIdentity`` with an answer's credentials."""
        key = Key.of(answer["Credentials"])
        caller_identity: dict[str, Any] = self.broker.client(
            "sts", key
        ).get_caller_identity()
        return caller_identity

    def _set_up(self) -> None:
        url = self.issuer.issuer.url
        oidc = self.iam.create_open_id_connect_provider(
            Url=url, ClientIDList=[CLIENT_ID]
        )["OpenIDConnectProviderArn"]
        self.iam.create_saml_provider(
            Name="Corp", SAMLMetadataDocument=saml_idp.metadata_xml()
        )
        federated = trust(
            ({"Federated": SAML_PROVIDER}, "sts:AssumeRoleWithSAML", None),
            (
                {"Federated": oidc},
                "sts:AssumeRoleWithWebIdentity",
                {"StringEquals": {f"{self.issuer.host_and_path}:aud": CLIENT_ID}},
            ),
        )
        self.iam.create_role(
            RoleName="Reader",
            Path="/team/",
            AssumeRolePolicyDocument=federated,
            MaxSessionDuration=7200,
        )
        self.iam.put_role_policy(
            RoleName="Reader",
            PolicyName="Read",
            PolicyDocument=policy(["iam:Get*", "iam:List*"]),
        )
        self.iam.create_role(RoleName="Admin", AssumeRolePolicyDocument=federated)
        self.iam.attach_role_policy(
            RoleName="Admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"
        )
