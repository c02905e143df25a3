"""A SAML response, as a command-line tool uses it and as a browser posts it.

    broker demo                                   # in another terminal
    python samples/saml_post.py

The demo's identity provider hands out a signed response for whoever you want to be;
a real one does so after a sign-in, into a form that the browser posts to /saml.
"""

import argparse
import http.cookiejar
import urllib.parse
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config


def main() -> None:
    """Exchange one response for credentials, and post another one to /saml."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", default="http://127.0.0.1:8080")
    parser.add_argument("--idp", default="http://localhost:8081")
    parser.add_argument("--person", default="ben")
    parser.add_argument("--role", default="arn:aws:iam::111122223333:role/Analyst")
    parser.add_argument(
        "--provider", default="arn:aws:iam::111122223333:saml-provider/DemoIdP"
    )
    given = parser.parse_args()

    # At the API: credentials.
    sts = boto3.client(
        "sts",
        endpoint_url=given.broker,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    answer = sts.assume_role_with_saml(
        RoleArn=given.role,
        PrincipalArn=given.provider,
        SAMLAssertion=fetch_response(given),
    )
    print("Credentials for:", answer["AssumedRoleUser"]["Arn"])

    # At /saml, as a browser: a console session, or a choice when there are roles.
    # An assertion is good for one mint, so this takes a fresh one.
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
    form = urllib.parse.urlencode({"SAMLResponse": fetch_response(given)})
    # Whoever asks for no page is shown the roles, and uses nothing up.
    post = urllib.request.Request(
        f"{given.broker}/saml", form.encode(), {"Accept": "text/html"}
    )
    with browser.open(post) as page:
        print("The browser is at:", page.geturl())


def fetch_response(given: argparse.Namespace) -> str:
    """A fresh signed response."""
    url = f"{given.idp}/saml/response/{given.person}"
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


if __name__ == "__main__":
    main()
