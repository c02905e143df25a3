"""Principals of a document can be listed, resolved and shown again."""

import pytest

from broker.policy import (
    PolicyKind,
    parse_policy,
    principal_arns,
    replace_principals,
)
from broker.policy.principal import find_account

TRUST = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": [
    "arn:aws:iam::111122223333:user/bob", "arn:aws:iam::111122223333:role/a/r",
    "arn:aws:iam::111122223333:root", "111122223333", "*", "AIDAEVEEVEEVEEVEEVEEV",
    "arn:aws:sts::111122223333:assumed-role/r/s",
    "arn:aws:sts::111122223333:federated-user/x"]}},
  {"Effect": "Allow", "Action": "sts:AssumeRoleWithSAML",
   "Principal": {"Federated": "arn:aws:iam::111122223333:saml-provider/corp"}}]}"""


def test_users_and_roles_are_to_be_resolved_and_nobody_else() -> None:
    document = parse_policy(TRUST, PolicyKind.TRUST)
    assert principal_arns(document) == {
        "arn:aws:iam::111122223333:user/bob",
        "arn:aws:iam::111122223333:role/a/r",
    }


def test_resolving_goes_there_and_back() -> None:
    document = parse_policy(TRUST, PolicyKind.TRUST)
    ids = {
        "arn:aws:iam::111122223333:user/bob": "AIDABOBBOBBOBBOBBOBBO",
        "arn:aws:iam::111122223333:role/a/r": "AROAREADERREADERREADE",
    }
    stored = replace_principals(document, ids)
    assert principal_arns(stored) == frozenset()
    back = replace_principals(stored, {uid: arn for arn, uid in ids.items()})
    assert back == document


def test_a_document_without_principals_stays_as_it_is() -> None:
    document = parse_policy(
        '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}',
        PolicyKind.IDENTITY,
    )
    assert replace_principals(document, {"a": "b"}) == document
    assert principal_arns(document) == frozenset()


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("111122223333", "111122223333"),
        ("arn:aws:iam::111122223333:root", "111122223333"),
        ("arn:aws-us-gov:iam::111122223333:root", "111122223333"),
        ("arn:aws:iam::111122223333", None),
        ("111122223333:root", None),
        ("11112222333", None),
        ("1111222233334", None),
        ("arn:aws:sts::111122223333:root", None),
        ("111122223333\n", None),
    ],
)
def test_an_account_has_two_forms(text: str, account: str | None) -> None:
    assert find_account(text) == account
