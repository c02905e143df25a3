"""A custom federation broker: a link that opens the console, for somebody you know.

    broker demo                                   # in another terminal; then paste
    export AWS_CONFIG_FILE=… AWS_SHARED_CREDENTIALS_FILE=…    # what it prints
    AWS_PROFILE=demo-portal python samples/custom_broker.py

Needs credentials that may assume the role, from wherever boto3 finds them.
"""

import argparse
import json
import urllib.parse
import urllib.request

import boto3


def main() -> None:
    """Print the login URL. Whoever has it is in: hand it over, do not log it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", default="http://127.0.0.1:8080")
    parser.add_argument("--role", default="arn:aws:iam::111122223333:role/Analyst")
    parser.add_argument("--name", default="ana@example.com", help="who comes in")
    parser.add_argument("--minutes", type=int, default=60, help="in the console")
    given = parser.parse_args()

    sts = boto3.client("sts", endpoint_url=given.broker, region_name="us-east-1")
    credentials = sts.assume_role(RoleArn=given.role, RoleSessionName=given.name)[
        "Credentials"
    ]

    # POST, so that the credentials are in no access log on the way.
    form = {
        "Action": "getSigninToken",
        "SessionDuration": str(given.minutes * 60),
        "Session": json.dumps(
            {
                "sessionId": credentials["AccessKeyId"],
                "sessionKey": credentials["SecretAccessKey"],
                "sessionToken": credentials["SessionToken"],
            }
        ),
    }
    endpoint = f"{given.broker}/federation"
    with urllib.request.urlopen(
        endpoint, urllib.parse.urlencode(form).encode()
    ) as answer:
        token = json.load(answer)["SigninToken"]

    login = {
        "Action": "login",
        "Destination": f"{given.broker}/console/",
        "SigninToken": token,
    }
    print(f"{endpoint}?{urllib.parse.urlencode(login)}")


if __name__ == "__main__":
    main()
