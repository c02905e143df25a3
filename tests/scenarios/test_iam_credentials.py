"""Certificates, SSH keys and service-specific credentials, through boto3."""

import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.refusals import refused

OPENSSH = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def user(iam: Any) -> Iterator[str]:
    name = f"user-{datetime.now(UTC).timestamp()}"
    iam.create_user(UserName=name)
    yield name
    iam.delete_user(UserName=name)


def rsa_key(bits: int = 2048) -> rsa.RSAPublicKey:
    return rsa.generate_private_key(65537, bits).public_key()


def test_ssh_keys_are_kept_with_the_fingerprint_of_ssh_keygen(
    iam: Any, user: str, tmp_path: Path
) -> None:
    key = rsa_key()
    text = key.public_bytes(*OPENSSH).decode()
    made = iam.upload_ssh_public_key(UserName=user, SSHPublicKeyBody=text)
    view = made["SSHPublicKey"]
    assert view["SSHPublicKeyId"].startswith("APKA")
    assert (view["Status"], view["UserName"]) == ("Active", user)
    program = shutil.which("ssh-keygen")
    if program is not None:
        (tmp_path / "key.pub").write_text(text)
        stdout = subprocess.run(
            [program, "-l", "-E", "md5", "-f", tmp_path / "key.pub"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert f"MD5:{view['Fingerprint']} " in stdout
    named = {"UserName": user, "SSHPublicKeyId": view["SSHPublicKeyId"]}
    for encoding, form in (("SSH", OPENSSH), ("PEM", PEM)):
        got = iam.get_ssh_public_key(**named, Encoding=encoding)["SSHPublicKey"]
        assert got["SSHPublicKeyBody"] == key.public_bytes(*form).decode()
    iam.delete_ssh_public_key(**named)


def test_service_specific_credentials_show_their_secret_once(
    broker: RunningBroker, iam: Any, user: str
) -> None:
    params = {"UserName": user, "ServiceName": "codecommit.amazonaws.com"}
    first = iam.create_service_specific_credential(**params)[
        "ServiceSpecificCredential"
    ]
    params = {"UserName": user, "ServiceName": "Bedrock.amazonaws.com"}
    key = iam.create_service_specific_credential(**params, CredentialAgeDays=7)[
        "ServiceSpecificCredential"
    ]
    assert key["ServiceName"] == "bedrock.amazonaws.com"
    assert key["ExpirationDate"] - key["CreateDate"] == timedelta(days=7)
    token = key["ServiceCredentialSecret"]
    alias, _, password = b64decode(token.removeprefix("ABSK")).decode().partition(":")
    assert alias == key["ServiceCredentialAlias"]
    assert len(password) == len(first["ServicePassword"]) == 60
    named = {
        "UserName": user,
        "ServiceSpecificCredentialId": first["ServiceSpecificCredentialId"],
    }
    reset = iam.reset_service_specific_credential(**named)["ServiceSpecificCredential"]
    assert reset["ServicePassword"] != first["ServicePassword"]
    for secret in (first["ServicePassword"], reset["ServicePassword"], token):
        assert secret not in broker.log
    for made in (first, key):
        named["ServiceSpecificCredentialId"] = made["ServiceSpecificCredentialId"]
        iam.delete_service_specific_credential(**named)


def test_users_reach_their_own_keys_only(
    broker: RunningBroker, iam: Any, user: str
) -> None:
    own = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow",'
        '"Action":"iam:*SSHPublicKey*",'
        f'"Resource":"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"}}}}'
    )
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=own)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    iam.create_user(UserName="neighbour")
    mine = broker.client("iam", Key.of(made))
    text = rsa_key().public_bytes(*OPENSSH).decode()
    key = mine.upload_ssh_public_key(UserName=user, SSHPublicKeyBody=text)
    named = {"SSHPublicKeyId": key["SSHPublicKey"]["SSHPublicKeyId"]}
    assert refused(
        mine.upload_ssh_public_key, UserName="neighbour", SSHPublicKeyBody=text
    ).code == ("AccessDenied")
    # Another user's name does not make the key another user's.
    assert refused(iam.delete_ssh_public_key, UserName="neighbour", **named).code == (
        "NoSuchEntity"
    )
    assert len(mine.list_ssh_public_keys()["SSHPublicKeys"]) == 1
    mine.delete_ssh_public_key(UserName=user, **named)
    iam.delete_access_key(UserName=user, AccessKeyId=made["AccessKeyId"])
    iam.delete_user_policy(UserName=user, PolicyName="own")


def test_policies_see_the_service_of_a_credential(
    broker: RunningBroker, iam: Any, user: str
) -> None:
    key = "iam:ServiceSpecificCredentialServiceName"
    document = (
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow",'
        '"Action":"iam:*ServiceSpecificCredential","Resource":"*","Condition":'
        f'{{"StringEquals":{{"{key}":"codecommit.amazonaws.com"}}}}}}}}'
    )
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName=user)["AccessKey"]
    mine = broker.client("iam", Key.of(made))
    other = iam.create_service_specific_credential(
        UserName=user, ServiceName="cassandra.amazonaws.com"
    )["ServiceSpecificCredential"]["ServiceSpecificCredentialId"]
    own = mine.create_service_specific_credential(
        UserName=user, ServiceName="codecommit.amazonaws.com"
    )["ServiceSpecificCredential"]["ServiceSpecificCredentialId"]
    for call in (
        mine.reset_service_specific_credential,
        mine.delete_service_specific_credential,
    ):
        assert refused(call, ServiceSpecificCredentialId=other).code == "AccessDenied"
        call(ServiceSpecificCredentialId=own)
    iam.delete_service_specific_credential(
        UserName=user, ServiceSpecificCredentialId=other
    )
    iam.delete_access_key(UserName=user, AccessKeyId=made["AccessKeyId"])
    iam.delete_user_policy(UserName=user, PolicyName="p")
