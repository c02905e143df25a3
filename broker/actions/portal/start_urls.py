"""Start URLs of the portal: how clients name the account that a person signs in to.

Source: botocore's sso-oidc model; AWS CLI 2, customizations/sso.
"""

import re

from broker.sessions.oauth import GrantRefused

_PLACE = re.compile(r"[0-9]{12}|[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]", re.ASCII)
START = "/portal/"
_AWS_START = ("https://", ".awsapps.com/start")
"""Before and after a name: the only start URLs that newer AWS CLIs accept.

The host may belong to an AWS customer: it is never contacted, and no page links to it.
"""


def aws_start_url(place: str) -> str:
    """The start URL of a place in AWS's form, which stands for the portal here."""
    return place.join(_AWS_START)


def profile_start_url(public_origin: str, place: str) -> str:
    """What a profile names: newer CLIs ask this broker for AWS's form over https alone."""
    is_asked = public_origin.startswith("https:")
    return f"{public_origin}{START}{place}" if is_asked else aws_start_url(place)


def read_start_url(url: str, public_origin: str) -> str:
    """The account, by number or alias, of a start URL; it need not exist.

    Raises:
        GrantRefused: InvalidRequestException, it is not a start URL of this broker.
    """
    bare = url.partition("#")[0].rstrip("/")
    own = f"{public_origin}{START}"
    for before, after in ((own, ""), _AWS_START):
        place = bare.removeprefix(before).removesuffix(after)
        if bare == f"{before}{place}{after}" and _PLACE.fullmatch(place):
            return place
    raise GrantRefused(
        "InvalidRequestException",
        f"The start URL must be {own}NAME or {aws_start_url('NAME')}:"
        " NAME is an account's number or alias.",
    )
