"""Exchange a CI job's token for temporary credentials; the CI system stores no secret.

    export AWS_ENDPOINT_URL=https://broker.example.com AWS_ENDPOINT_URL_STS=https://broker.example.com
    export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
    python samples/ci_token.py --role arn:aws:iam::123456789012:role/Deploy

Gets the token from GitHub Actions (in a job with `permissions: id-token: write`) or GitLab
(`id_tokens: CI_ID_TOKEN: aud: sts.amazonaws.com`). The `sub` condition of the role's trust
policy must name the repository and branch, as `policies/trust-web-identity.json` does;
otherwise any repository of that CI system could assume the role.
"""

import argparse
import json
import os
import urllib.request
from urllib.parse import urlencode

import boto3
from botocore import UNSIGNED
from botocore.config import Config


def main() -> None:
    """Exchange the job's token, then print the new identity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--role", required=True)
    parser.add_argument("--session-name", default=os.environ.get("CI_JOB_ID", "ci"))
    parser.add_argument("--audience", default="sts.amazonaws.com")
    given = parser.parse_args()

    sts = boto3.client("sts", config=Config(signature_version=UNSIGNED))
    found = sts.assume_role_with_web_identity(
        RoleArn=given.role,
        RoleSessionName=given.session_name,
        WebIdentityToken=job_token(given.audience),
        DurationSeconds=900,
    )["Credentials"]
    session = boto3.Session(
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["SessionToken"],
    )
    print("You are:", session.client("sts").get_caller_identity()["Arn"])


def job_token(audience: str) -> str:
    """The job's ID token: from a variable, or asked for at the CI system."""
    token = os.environ.get("CI_ID_TOKEN")
    if token:
        return token
    address = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    if not address:
        raise SystemExit("This job has no ID token: see its CI system's settings.")
    request = urllib.request.Request(
        f"{address}&{urlencode({'audience': audience})}",
        headers={
            "Authorization": f"Bearer {os.environ['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["value"]


if __name__ == "__main__":
    main()
