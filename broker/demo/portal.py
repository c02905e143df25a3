"""The demo's custom federation broker: a portal that signs people in with a link.

Like an organisation's own portal, it authenticates the person, assumes a role for them
with a long-term key, and turns the credentials into a login URL.

Source: IAM User Guide, "Enable custom identity broker access to the AWS console".
"""

import asyncio
import json
from urllib.parse import urlencode

import httpx2
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from broker.demo.people import ANALYST, DemoPerson
from broker.demo.seed import PortalKey

_REGION = "us-east-1"
_CLIENT = Config(retries={"total_max_attempts": 1}, read_timeout=10)
_SECONDS = 10


class PortalError(Exception):
    """The broker refused; the text is its answer."""


class DemoPortal:
    """Creates login URLs for people."""

    def __init__(self, broker_origin: str, portal_url: str, key: PortalKey) -> None:
        self._broker_origin = broker_origin
        self._portal_url = portal_url
        self._key = key

    async def login_url(self, person: DemoPerson) -> str:
        """Create a single-use URL that opens the console as the person.

        Raises:
            PortalError: The broker refused or did not answer.
        """
        session = await asyncio.to_thread(self._assume_role, person)
        token = await self._signin_token(session)
        query = {
            "Action": "login",
            "Issuer": self._portal_url,
            "Destination": f"{self._broker_origin}/console/",
            "SigninToken": token,
        }
        return f"{self._broker_origin}/federation?{urlencode(query)}"

    def _assume_role(self, person: DemoPerson) -> dict[str, str]:
        client = Session().create_client(
            "sts",
            region_name=_REGION,
            endpoint_url=self._broker_origin,
            aws_access_key_id=self._key.access_key_id,
            aws_secret_access_key=self._key.secret.reveal(),
            config=_CLIENT,
        )
        try:
            answer = client.assume_role(
                RoleArn=ANALYST,
                RoleSessionName=person.email,
                SourceIdentity=person.key,
                Tags=[{"Key": k, "Value": v} for k, v in person.tags.items()],
            )
        except (BotoCoreError, ClientError) as error:
            raise PortalError(f"AssumeRole: {error}") from error
        credentials = answer["Credentials"]
        return {
            "sessionId": credentials["AccessKeyId"],
            "sessionKey": credentials["SecretAccessKey"],
            "sessionToken": credentials["SessionToken"],
        }

    async def _signin_token(self, session: dict[str, str]) -> str:
        form = {
            "Action": "getSigninToken",
            "SessionDuration": "3600",
            "Session": json.dumps(session),
        }
        async with httpx2.AsyncClient(trust_env=False, timeout=_SECONDS) as client:
            try:
                # By POST: credentials must not be in a URL.
                answer = await client.post(
                    f"{self._broker_origin}/federation", data=form
                )
                answer.raise_for_status()
                token = answer.json()["SigninToken"]
            except (httpx2.HTTPError, ValueError, KeyError) as error:
                raise PortalError(f"getSigninToken: {error}") from error
        return str(token)
