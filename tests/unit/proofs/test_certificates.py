"""Which validated paths a worker remembers, and when they count."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from broker.model.account import AccountId
from broker.proofs.certificates import ValidatedPath, ValidatedPaths
from broker.protocols.x509.chain import Anchors, parse_anchors, verify_chain
from broker.protocols.x509.presented import parse_presented
from tests.support.certificates import Issued, issue

NOW = datetime.now(UTC)
ACCOUNT = AccountId("123456789012")


@pytest.fixture(scope="module")
def root() -> Issued:
    return issue("Root", is_authority=True, now=NOW)


@pytest.fixture
def anchors(root: Issued) -> Anchors:
    return parse_anchors(root.pem)


def validated(leaf: Issued, anchors: Anchors) -> ValidatedPath:
    view = {b"x-amz-x509": base64.b64encode(leaf.der)}
    presented = parse_presented(view, anchors)
    chain = verify_chain(presented.unverified_leaf, (), anchors, NOW)
    return ValidatedPath(
        presented=presented, anchors=anchors, chain=chain, described={}
    )


def test_a_path_counts_for_what_was_presented(root: Issued, anchors: Anchors) -> None:
    paths = ValidatedPaths()
    path = validated(root.issue("web", now=NOW), anchors)
    paths.add(ACCOUNT, b"shown", path)
    assert paths.find(ACCOUNT, b"shown", anchors, NOW) is path
    assert paths.find(ACCOUNT, b"other", anchors, NOW) is None
    assert paths.find(AccountId("210987654321"), b"shown", anchors, NOW) is None


def test_a_path_ends_with_the_state_of_its_anchor(
    root: Issued, anchors: Anchors
) -> None:
    paths = ValidatedPaths()
    paths.add(ACCOUNT, b"shown", validated(root.issue("web", now=NOW), anchors))
    assert paths.find(ACCOUNT, b"shown", parse_anchors(root.pem), NOW) is None


def test_a_path_counts_while_its_certificates_are_valid(
    root: Issued, anchors: Anchors
) -> None:
    paths = ValidatedPaths()
    paths.add(ACCOUNT, b"shown", validated(root.issue("web", now=NOW, days=2), anchors))
    ends = timedelta(days=2)
    assert paths.find(ACCOUNT, b"shown", anchors, NOW + ends - timedelta(seconds=1))
    assert (
        paths.find(ACCOUNT, b"shown", anchors, NOW + ends + timedelta(seconds=1))
        is None
    )
    begins = timedelta(days=1)
    assert paths.find(ACCOUNT, b"shown", anchors, NOW - begins + timedelta(seconds=1))
    assert (
        paths.find(ACCOUNT, b"shown", anchors, NOW - begins - timedelta(seconds=1))
        is None
    )
