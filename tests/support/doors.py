"""What opens each door."""

import json
from typing import Any

from tests.support.broker import ACCOUNT, RunningBroker
from tests.support.certificates import issue
from tests.support.saml_idp import metadata_xml

PROVIDER = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
ANCHOR = issue("Plant", is_authority=True, days=365).pem
OPENERS: dict[str, dict[str, Any]] = {
    "decisions": {
        "Services": [{"ServiceName": "api", "Definition": {"Hosts": ["api:80"]}}]
    },
    "sessions of Roles Anywhere": {
        "TrustAnchors": [
            {
                "Name": "plant",
                "Source": {
                    "SourceType": "CERTIFICATE_BUNDLE",
                    "SourceData": {"X509CertificateData": ANCHOR},
                },
            }
        ]
    },
    "SCIM": {
        "SAMLProviders": [{"Name": "Corp", "SamlMetadataDocument": metadata_xml()}]
    },
    "issuers": {"Broker": {"OutboundWebIdentityFederation": True}},
    "machines": {"InstanceProfiles": [{"InstanceProfileName": "web"}]},
}


def open_doors(broker: RunningBroker, *names: str) -> None:
    """Register what opens some of them, all by default, in an account that there is."""
    for name in names or OPENERS:
        text = json.dumps({"Accounts": {ACCOUNT: OPENERS[name]}})
        broker.command("apply", "-", stdin=text)
        if name == "SCIM":
            broker.command("providers", "set", PROVIDER, "ScimSubject=userName")
            broker.command("providers", "scim-token", PROVIDER)
