"""A custom federation broker: a console login URL for a user you have authenticated.

    broker demo                                   # in another terminal; then paste
    export AWS_CONFIG_FILE=… AWS_SHARED_CREDENTIALS_FILE=…    # what it prints
    AWS_PROFILE=demo-portal python samples/custom_broker.py

Needs credentials that may assume the role, from any source that boto3 supports.
"""

import argparse
import json
import urllib.parse
import urllib.request

import boto3


def main() -> None:
    """Print the login URL. Anyone who has it can sign in: do not log it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", default="http://127.0.0.1:8080")
    parser.add_argument("--role", default="arn:aws:iam::111122223333:role/Analyst")
    parser.add_argument("--name", default="ana@example.com", help="the user's name")
    parser.add_argument("--minutes", type=int, default=60, help="in the console")
    options = parser.parse_args()

    sts = boto3.client("sts", endpoint_url=options.broker, region_name="us-east-1")
    credentials = sts.assume_role(RoleArn=options.role, RoleSessionName=options.name)[
        "Credentials"
    ]

    # POST, so that the credentials are in no access log on the way.
    form = {
        "Action": "getSigninToken",
        "SessionDuration": str(options.minutes * 60),
        "Session": json.dumps(
            {
                "sessionId": credentials["AccessKeyId"],
                "sessionKey": credentials["SecretAccessKey"],
                "sessionToken": credentials["SessionToken"],
            }
        ),
    }
    endpoint = f"{options.broker}/federation"
    with urllib.request.urlopen(
        endpoint, urllib.parse.urlencode(form).encode()
    ) as answer:
        token = json.load(answer)["SigninToken"]

    login = {
        "Action": "login",
        "Destination": f"{options.broker}/console/",
        "SigninToken": token,
    }
    print(f"{endpoint}?{urllib.parse.urlencode(login)}")


if __name__ == "__main__":
    main()
