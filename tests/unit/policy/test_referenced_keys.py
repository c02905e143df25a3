"""The keys that policies mention are found in conditions and variables."""

from broker.policy import PolicyKind, context_keys, parse_policy


def test_keys_come_from_variables_and_conditions_once_in_order() -> None:
    text = """{"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": "*",
       "Resource": ["arn:aws:s3:::b/${aws:username}/${*}", "arn:aws:s3:::c"],
       "Condition": {"StringLike": {"s3:Prefix": ["${aws:PrincipalTag/x, 'y'}", "z"]},
                     "Bool": {"aws:SecureTransport": "true"}}},
      {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::${AWS:USERNAME}"}
    ]}"""
    assert context_keys([parse_policy(text, PolicyKind.IDENTITY)]) == (
        "aws:username",
        "s3:Prefix",
        "aws:PrincipalTag/x",
        "aws:SecureTransport",
    )


def test_variables_mean_nothing_before_2012() -> None:
    text = (
        '{"Statement": {"Effect": "Allow", "Action": "*", '
        '"Resource": "arn:aws:s3:::${aws:username}", '
        '"Condition": {"StringEquals": {"aws:userid": "${aws:username}"}}}}'
    )
    document = parse_policy(text, PolicyKind.IDENTITY)
    assert context_keys([document, document]) == ("aws:userid",)


def test_trust_policies_have_no_resource() -> None:
    text = (
        '{"Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", '
        '"Principal": {"AWS": "111122223333"}}}'
    )
    assert context_keys([parse_policy(text, PolicyKind.TRUST)]) == ()
