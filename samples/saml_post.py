"""Use a SAML response as a command-line tool does, and post one as a browser does.

    broker demo                                   # in another terminal
    python samples/saml_post.py

The demo's identity provider issues a signed response for any of its users. A real one
issues it after a sign-in, in a form that the browser posts to /saml.
"""

import argparse
import http.cookiejar
import urllib.parse
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config


def main() -> None:
    """Exchange one response for credentials, and post another to /saml."""
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

    # At /saml, as a browser: a console session, or a choice if there are several roles.
    # An assertion can be used only once, so this fetches a new one.
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
    form = urllib.parse.urlencode({"SAMLResponse": fetch_response(given)})
    # Without this Accept header, /saml would only list the roles.
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
