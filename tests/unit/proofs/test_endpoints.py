import pytest

from broker.proofs.endpoints import Endpoints, find_fixed_region
from tests.support.raw import raw_request


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("broker.example", None),
        ("sts.broker.example", ""),
        ("STS.Broker.example", ""),
        ("sts.eu-west-3.broker.example", "eu-west-3"),
        ("sts.us-gov-west-1.broker.example", "us-gov-west-1"),
        ("sts.x.broker.example", None),
        ("sts.eu-west-3.evil.example", None),
        ("sts.eu-west-3.broker.example:8443", None),
        ("iam.broker.example", None),
        ("iam.amazonaws.com", ""),
        ("iam.amazonaws.com:8443", ""),
        ("iam-fips.amazonaws.com", ""),
        ("iam.global.api.aws", ""),
        ("iam.evil.amazonaws.com", None),
        ("iam.eu-west-3.amazonaws.com", None),
        ("sts.amazonaws.com", ""),
        ("sts.eu-west-3.amazonaws.com", "eu-west-3"),
        ("xsts.amazonaws.com", None),
        ("sts.amazonaws.com.evil.example", None),
        ("signin.aws.amazon.com", None),
        (None, None),
    ],
)
def test_a_host_fixes_a_region_or_none(host: str | None, region: str | None) -> None:
    assert find_fixed_region(host, "broker.example") == region


def test_a_port_belongs_to_the_host() -> None:
    assert find_fixed_region("sts.eu-west-3.h:8443", "h:8443") == "eu-west-3"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("broker.example", "eu-west-1"),
        ("sts.broker.example", "us-east-1"),
        ("sts.eu-west-3.broker.example", "eu-west-3"),
        ("sts.ap-east-1.broker.example", "eu-west-1"),
    ],
)
def test_unsigned_calls_are_served_where_they_were_sent(host: str, region: str) -> None:
    configured = frozenset({"eu-west-1", "eu-west-3"})
    endpoints = Endpoints("broker.example", "eu-west-1", configured)
    raw = raw_request(headers=((b"host", host.encode()),))
    assert endpoints.find_region(raw) == region
