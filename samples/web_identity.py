"""Exchange a workload's ID token for temporary credentials (AssumeRoleWithWebIdentity).

    broker demo                                   # in another terminal
    python samples/web_identity.py                # uses a token from the demo

For your own broker, with a token from your platform:

    python samples/web_identity.py --broker https://broker.example.com \
        --role arn:aws:iam::123456789012:role/Deploy --token-file /var/run/token
"""

import argparse
import urllib.request
from pathlib import Path

import boto3
from botocore import UNSIGNED
from botocore.config import Config


def main() -> None:
    """Exchange the token, then print the new identity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", default="http://127.0.0.1:8080")
    parser.add_argument("--role", default="arn:aws:iam::111122223333:role/Deploy")
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--token-url", default="http://localhost:8081/token/ci.txt")
    given = parser.parse_args()

    # The token is the proof: the call itself is not signed.
    sts = boto3.client(
        "sts",
        endpoint_url=given.broker,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    answer = sts.assume_role_with_web_identity(
        RoleArn=given.role,
        RoleSessionName="sample",
        WebIdentityToken=read_token(given),
        DurationSeconds=900,
    )
    credentials = answer["Credentials"]
    print("Access key:", credentials["AccessKeyId"])
    print("Expires:   ", credentials["Expiration"].isoformat())

    session = boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name="us-east-1",
    )
    identity = session.client("sts", endpoint_url=given.broker).get_caller_identity()
    print("You are:   ", identity["Arn"])


def read_token(given: argparse.Namespace) -> str:
    """The ID token, from a file or from the demo."""
    if given.token_file:
        return given.token_file.read_text().strip()
    with urllib.request.urlopen(given.token_url) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    main()
