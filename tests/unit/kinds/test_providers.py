"""SAML and OpenID Connect providers."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from broker.errors import (
    EntityAlreadyExists,
    InvalidInput,
    LimitExceeded,
    ValidationError,
)
from broker.kinds.limits import Quota
from broker.kinds.providers import SAML_KEY_SEAL
from broker.stores.directory.kinds import OIDC_PROVIDER, SAML_PROVIDER
from tests.support.iam import ACCOUNT, NOW, Iam, set_quotas
from tests.support.rows import cases
from tests.support.saml_idp import metadata_xml

SAML_ARN = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"


@pytest.fixture(scope="module")
def metadata() -> str:
    return metadata_xml()


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


async def make_saml(iam: Iam, metadata: str, **more: object) -> None:
    await iam("CreateSAMLProvider", Name="Corp", SAMLMetadataDocument=metadata, **more)


async def make_oidc(
    iam: Iam, url: str = "https://idp.example.com", **more: object
) -> str:
    made = await iam(
        "CreateOpenIDConnectProvider",
        **{"Url": url, "ThumbprintList": ["a" * 40], **more},
    )
    arn: str = made["OpenIDConnectProviderArn"]
    return arn


async def test_a_saml_provider_is_shown_as_at_aws(iam: Iam, metadata: str) -> None:
    await make_saml(iam, metadata)
    got = await iam("GetSAMLProvider", SAMLProviderArn=SAML_ARN)
    assert got["SAMLMetadataDocument"] == metadata
    assert len(got["SAMLProviderUUID"]) == 22
    assert got["ValidUntil"] == NOW.replace(year=NOW.year + 100)


async def test_a_provider_made_again_has_another_id(iam: Iam, metadata: str) -> None:
    ids = set()
    for _ in range(2):
        await make_saml(iam, metadata)
        got = await iam("GetSAMLProvider", SAMLProviderArn=SAML_ARN)
        ids.add(got["SAMLProviderUUID"])
        await iam("DeleteSAMLProvider", SAMLProviderArn=SAML_ARN)
    assert len(ids) == 2


async def test_metadata_is_judged_and_the_old_one_stays(
    iam: Iam, metadata: str
) -> None:
    await make_saml(iam, metadata)
    for broken in ("<x/>" + " " * 1000, "nothing" * 200):
        with pytest.raises(InvalidInput, match="Could not parse metadata"):
            await iam("CreateSAMLProvider", Name="Other", SAMLMetadataDocument=broken)
        with pytest.raises(InvalidInput):
            await iam(
                "UpdateSAMLProvider",
                SAMLProviderArn=SAML_ARN,
                SAMLMetadataDocument=broken,
            )
    got = await iam("GetSAMLProvider", SAMLProviderArn=SAML_ARN)
    assert got["SAMLMetadataDocument"] == metadata


async def test_private_keys_are_sealed_counted_and_removed(
    iam: Iam, metadata: str, private_key: str
) -> None:
    await make_saml(iam, metadata)
    for _ in range(2):
        iam.tick(minutes=1)
        await iam(
            "UpdateSAMLProvider", SAMLProviderArn=SAML_ARN, AddPrivateKey=private_key
        )
    with pytest.raises(LimitExceeded, match=r"Private key limit of 2 is reached\."):
        await iam(
            "UpdateSAMLProvider", SAMLProviderArn=SAML_ARN, AddPrivateKey=private_key
        )
    keys = (await iam("GetSAMLProvider", SAMLProviderArn=SAML_ARN))["PrivateKeyList"]
    assert [key["Timestamp"] for key in keys] == [iam.now, NOW.replace(minute=1)]
    provider = await iam.directory.named(SAML_PROVIDER, ACCOUNT, "Corp")
    assert provider is not None
    stored = provider.private_keys[0]
    purpose, column = SAML_KEY_SEAL
    opened = iam.vault.open_sealed(
        purpose, ACCOUNT, stored.key_id, column, stored.sealed_pem
    )
    assert opened.decode() == private_key
    await iam(
        "UpdateSAMLProvider",
        SAMLProviderArn=SAML_ARN,
        RemovePrivateKey=keys[0]["KeyId"],
    )
    with pytest.raises(InvalidInput, match=r"Failed to remove private key\."):
        await iam(
            "UpdateSAMLProvider",
            SAMLProviderArn=SAML_ARN,
            RemovePrivateKey=keys[0]["KeyId"],
        )


async def test_required_encryption_needs_a_key(
    iam: Iam, metadata: str, private_key: str
) -> None:
    await make_saml(
        iam, metadata, AssertionEncryptionMode="Required", AddPrivateKey=private_key
    )
    key = (await iam("GetSAMLProvider", SAMLProviderArn=SAML_ARN))["PrivateKeyList"][0]
    with pytest.raises(InvalidInput, match="no private key is present"):
        await iam(
            "UpdateSAMLProvider",
            SAMLProviderArn=SAML_ARN,
            RemovePrivateKey=key["KeyId"],
        )


@cases("url")
async def test_a_malformed_issuer_url_is_refused(iam: Iam, url: str) -> None:
    with pytest.raises(ValidationError, match="Invalid Open ID Connect Provider URL"):
        await make_oidc(iam, url)


async def test_an_internal_issuer_may_have_plain_http_and_a_port(iam: Iam) -> None:
    arn = await make_oidc(iam, "http://127.0.0.1:8097/x")
    assert arn.endswith(":oidc-provider/127.0.0.1:8097/x")
    provider = await iam.directory.named(OIDC_PROVIDER, ACCOUNT, "127.0.0.1:8097/x")
    assert provider is not None
    assert provider.url == "http://127.0.0.1:8097/x"
    with pytest.raises(EntityAlreadyExists):
        await make_oidc(iam, "https://127.0.0.1:8097/x")


async def test_client_ids_are_added_once_and_removed_quietly(iam: Iam) -> None:
    on = {"OpenIDConnectProviderArn": await make_oidc(iam, ClientIDList=["a"])}
    for name in ("AddClientIDTo", "RemoveClientIDFrom"):
        for _ in range(2):
            await iam(f"{name}OpenIDConnectProvider", ClientID="b", **on)
        got = await iam("GetOpenIDConnectProvider", **on)
        expected = ["a", "b"] if name == "AddClientIDTo" else ["a"]
        assert got["ClientIDList"] == expected
        await set_quotas(iam, **{Quota.CLIENT_IDS: 1})  # two can still become one
    await set_quotas(iam)
    with pytest.raises(LimitExceeded) as caught:
        await make_oidc(
            iam, "https://b.example", ClientIDList=[str(i) for i in range(101)]
        )
    assert caught.value.message == (
        "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"
    )


async def test_thumbprints_are_at_least_one_and_at_most_five(iam: Iam) -> None:
    arn = await make_oidc(iam, ThumbprintList=["a" * 40] * 5, ClientIDList=["a"])
    await set_quotas(iam, **{Quota.CLIENT_IDS: 0})
    with pytest.raises(InvalidInput, match="must contain at least one entry"):
        await iam(
            "UpdateOpenIDConnectProviderThumbprint",
            OpenIDConnectProviderArn=arn,
            ThumbprintList=[],
        )
    await iam(
        "UpdateOpenIDConnectProviderThumbprint",
        OpenIDConnectProviderArn=arn,
        ThumbprintList=["B" * 40],
    )
    got = await iam("GetOpenIDConnectProvider", OpenIDConnectProviderArn=arn)
    assert got["ThumbprintList"] == ["b" * 40]
