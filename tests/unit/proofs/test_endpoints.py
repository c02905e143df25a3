from broker.proofs.endpoints import Endpoints, find_fixed_region
from tests.support.raw import raw_request
from tests.support.rows import rows


@rows("host, region")
def test_a_host_fixes_a_region_or_none(host: str | None, region: str | None) -> None:
    assert find_fixed_region(host, "broker.example") == region


def test_a_port_belongs_to_the_host() -> None:
    assert find_fixed_region("sts.eu-west-3.h:8443", "h:8443") == "eu-west-3"


@rows("host, region")
def test_unsigned_calls_are_served_where_they_were_sent(host: str, region: str) -> None:
    configured = frozenset({"eu-west-1", "eu-west-3"})
    endpoints = Endpoints("broker.example", "eu-west-1", configured)
    raw = raw_request(headers=((b"host", host.encode()),))
    assert endpoints.find_region(raw) == region
