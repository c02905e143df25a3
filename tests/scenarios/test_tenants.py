"""Two accounts, one entity id, one issuer, different keys: no door leads across.

Warm caches first and cold caches first: whose keys were used last must not matter.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.broker import RunningBroker, running_broker
from tests.support.oidc_issuer import OidcIssuer
from tests.support.refusals import refused
from tests.support.saml_idp import (
    aws_attributes,
    build_response,
    key_pair,
    metadata_xml,
)
from tests.support.signin import BROWSER

OURS, THEIRS = "111122223333", "444455556666"
ISSUER = "https://idp.invalid/shared"
CLIENT = "app"


def role_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:role/Reader"


def saml_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:saml-provider/Corp"


@dataclass
class Tenants:
    broker: RunningBroker
    issuers: dict[str, OidcIssuer]
    iam: dict[str, Any]

    @property
    def acs(self) -> str:
        return f"{self.broker.url}/saml"

    def assertion(self, signer: str, roles_of: str) -> str:
        """Signed by one tenant's identity provider, naming another's role."""
        now = datetime.now(UTC)
        return build_response(
            now=now,
            assertion_id=f"_{now.timestamp()}".replace(".", "-"),
            recipient=self.acs,
            response={"destination": self.acs},
            attributes=aws_attributes(
                role=[f"{role_arn(roles_of)},{saml_arn(roles_of)}"]
            ),
            signing_key=key_pair(f"tenant-{signer}"),
        )

    def with_saml(self, signer: str, account: str) -> Any:
        return self.broker.client("sts").assume_role_with_saml(
            RoleArn=role_arn(account),
            PrincipalArn=saml_arn(account),
            SAMLAssertion=self.assertion(signer, account),
        )

    def with_token(self, signer: str, account: str) -> Any:
        return self.broker.client("sts").assume_role_with_web_identity(
            RoleArn=role_arn(account),
            RoleSessionName="someone",
            WebIdentityToken=self.issuers[signer].token(aud=CLIENT),
        )

    def posted(self, signer: str, account: str) -> httpx.Response:
        form = {"SAMLResponse": self.assertion(signer, account)}
        return httpx.post(self.acs, data=form, trust_env=False, headers=BROWSER)


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Tenants]:
    issuers = {account: OidcIssuer(ISSUER) for account in (OURS, THEIRS)}
    issuers[THEIRS].add_key("key-1", number=1)  # the very same kid
    with running_broker(tmp_path) as broker:
        clients = {}
        for account in (OURS, THEIRS):
            iam = broker.client("iam", broker.create_account(account))
            clients[account] = iam
            iam.create_saml_provider(
                Name="Corp",
                SAMLMetadataDocument=metadata_xml(key_pair(f"tenant-{account}")),
            )
            oidc = iam.create_open_id_connect_provider(
                Url=ISSUER, ClientIDList=[CLIENT]
            )["OpenIDConnectProviderArn"]
            jwks = json.dumps(issuers[account].jwks())
            broker.command("providers", "set", oidc, f"StaticJwks={jwks}")
            trust = {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Federated": saml_arn(account)},
                        "Action": "sts:AssumeRoleWithSAML",
                    },
                    {
                        "Effect": "Allow",
                        "Principal": {"Federated": oidc},
                        "Action": "sts:AssumeRoleWithWebIdentity",
                    },
                ],
            }
            iam.create_role(
                RoleName="Reader", AssumeRolePolicyDocument=json.dumps(trust)
            )
        yield Tenants(broker, issuers, clients)


def test_a_role_that_trusts_the_others_providers_opens_to_nobody(
    tenants: Tenants,
) -> None:
    """Its trust policy can be written, as in AWS; role and provider must share an account."""
    theirs = saml_arn(THEIRS), f"arn:aws:iam::{THEIRS}:oidc-provider/idp.invalid/shared"
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Federated": theirs},
            "Action": ["sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"],
        },
    }
    tenants.iam[OURS].update_assume_role_policy(
        RoleName="Reader", PolicyDocument=json.dumps(trust)
    )
    codes = {"AccessDenied", "InvalidIdentityToken"}
    with_saml = tenants.broker.client("sts").assume_role_with_saml
    for signer in (OURS, THEIRS):
        for account in (OURS, THEIRS):
            params = {
                "RoleArn": role_arn(OURS),
                "PrincipalArn": saml_arn(account),
                "SAMLAssertion": tenants.assertion(signer, OURS),
            }
            assert refused(with_saml, **params).code in codes
        assert refused(tenants.with_token, signer, OURS).code in codes
    # What was ours goes on in its own account.
    assert tenants.with_token(THEIRS, THEIRS)["Credentials"]


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_one_tenants_keys_open_nothing_of_the_others(
    tenants: Tenants, *, warm: bool
) -> None:
    own = (OURS, THEIRS)
    if warm:
        for account in own:
            tenants.with_saml(account, account)
            tenants.with_token(account, account)
    for signer, account in ((OURS, THEIRS), (THEIRS, OURS)):
        assert (
            refused(tenants.with_saml, signer, account).code == "InvalidIdentityToken"
        )
        assert (
            refused(tenants.with_token, signer, account).code == "InvalidIdentityToken"
        )
        posted = tenants.posted(signer, account)
        assert posted.status_code == 400
        assert "invalid SAML response" in posted.text
    for account in own:
        assert tenants.with_saml(account, account)["Credentials"]
        assert tenants.with_token(account, account)["Credentials"]
        assert tenants.posted(account, account).status_code == 303
