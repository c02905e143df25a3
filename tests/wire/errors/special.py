"""The ways to an error that are more than one call with its input in `rows.json`."""

import base64
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

from msgspec import structs

from broker.kinds.accounts import DISABLED_REGIONS
from broker.model.account import AccountId
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, Key
from tests.support.in_process import FORM, ORIGIN, Reply, in_process
from tests.support.oidc_issuer import make_key
from tests.support.saml_idp import key_pair
from tests.wire.errors.world import READER, SAML, WORKER, World

Way = Callable[[World], Awaitable[Reply]]
CALLER = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
WAYS: dict[str, Way] = {}


def way(function: Way) -> Way:
    WAYS[function.__name__] = function
    return function


def renamed(headers: dict[str, str], old: str, new: str) -> None:
    """Change the Authorization header after it was made."""
    assert old in headers["Authorization"]
    headers["Authorization"] = headers["Authorization"].replace(old, new)


@asynccontextmanager
async def moved(world: World, seconds: float) -> AsyncIterator[None]:
    """The broker's clock is ahead (or behind) meanwhile."""
    world.broker.clock.move(seconds)
    try:
        yield
    finally:
        world.broker.clock.move(-seconds)


@asynccontextmanager
async def outbound(world: World) -> AsyncIterator[None]:
    await world.iam("EnableOutboundWebIdentityFederation")
    try:
        yield
    finally:
        await world.iam("DisableOutboundWebIdentityFederation")


# Requests.


@way
async def another_path(world: World) -> Reply:
    return await world.form(CALLER, url=f"{ORIGIN}/elsewhere")


@way
async def post_without_form(world: World) -> Reply:
    answer = await world.broker.http.post(
        "/", content=CALLER, headers={"content-type": "text/plain"}
    )
    return Reply(answer.status_code, answer.headers, answer.content)


@way
async def get_without_action(world: World) -> Reply:
    return await world.get("Version=2011-06-15")


@way
async def huge_body(world: World) -> Reply:
    answer = await world.broker.http.post(
        "/", content=b"Action=" + b"a" * 1_000_000, headers=FORM
    )
    return Reply(answer.status_code, answer.headers, answer.content)


@way
async def huge_query(world: World) -> Reply:
    return await world.get(f"{CALLER}&x=" + "a" * 16_384)


@way
async def too_fast(world: World) -> Reply:
    folder = Path(world.texts["folder"]) / "slow"
    async with in_process(folder, rate_limit=20) as slow:
        key = await slow.create_account(ACCOUNT)
        for _ in range(200):
            reply = await slow.call("sts", "GetCallerIdentity", key)
            if reply.status != 200:
                return reply
    raise AssertionError("200 calls at once are not too fast")


# Regions, durations, sizes.


@way
async def disabled_region(world: World) -> Reply:
    region = "ap-south-1"
    async with world.broker.services.stores.directory.change(
        AccountId(ACCOUNT)
    ) as change:
        account = await change.find(kinds.ACCOUNT, AccountId(ACCOUNT))
        assert account is not None
        options = {**account.options, DISABLED_REGIONS: [region]}
        await update_account(change, structs.replace(account, options=options))
    return await world.form(
        urlencode({"Action": "GetSessionToken", "Version": "2011-06-15"}), region=region
    )


@way
async def token_beyond_session(world: World) -> Reply:
    async with outbound(world):
        narrow = await world.mint("GetScopedCredentials", "role", DurationSeconds=100)
        world.keys["narrow"] = narrow
        return await world.call(
            "sts:GetWebIdentityToken", "narrow", DurationSeconds=200
        )


@way
async def large_payload(world: World) -> Reply:
    tags = [{"Key": f"k{n}", "Value": "v" * 256} for n in range(50)]
    async with outbound(world):
        return await world.call("sts:GetWebIdentityToken", Tags=tags)


@way
async def outbound_enabled_twice(world: World) -> Reply:
    async with outbound(world):
        return await world.call("iam:EnableOutboundWebIdentityFederation", "root")


def noise(size: int) -> str:
    """Text that nothing packs."""
    return base64.b32encode(os.urandom(size)).decode()[:size]


@way
async def incompressible_policy(world: World) -> Reply:
    statement = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::b/{noise(1500)}",
    }
    document = {"Version": "2012-10-17", "Statement": statement}
    return await world.call(
        "sts:AssumeRole",
        Policy=json.dumps(document),
        Tags=[{"Key": f"k{n}", "Value": noise(200)} for n in range(30)],
    )


@way
async def incompressible_tags(world: World) -> Reply:
    return await world.call(
        "sts:AssumeRole",
        Tags=[{"Key": noise(100), "Value": noise(250)} for _ in range(50)],
    )


# Tags, source identity, MFA.


@way
async def another_source_identity(world: World) -> Reply:
    world.keys["named"] = await world.mint(
        *("AssumeRole", "user"),
        RoleArn=WORKER,
        RoleSessionName="a1",
        SourceIdentity="carol",
    )
    return await world.call("sts:AssumeRole", "named", SourceIdentity="dave")


@way
async def inherited_tag_again(world: World) -> Reply:
    tag = {"Key": "Team", "Value": "blue"}
    world.keys["tagged"] = await world.mint(
        *("AssumeRole", "user"),
        RoleArn=WORKER,
        RoleSessionName="a1",
        Tags=[tag],
        TransitiveTagKeys=["Team"],
    )
    return await world.call("sts:AssumeRole", "tagged", Tags=[{**tag, "Key": "team"}])


@way
async def wrong_code(world: World) -> Reply:
    from tests.support.totp import Device

    made = await world.iam("CreateVirtualMFADevice", VirtualMFADeviceName="phone")
    device = made["VirtualMFADevice"]
    view = Device(device["Base32StringSeed"].decode())
    await world.iam(
        "EnableMFADevice",
        UserName="user",
        SerialNumber=device["SerialNumber"],
        **view.pair(),
    )
    wrong = f"{(int(view.code()) + 1) % 10**6:06}"
    return await world.call(
        "sts:GetSessionToken", SerialNumber=device["SerialNumber"], TokenCode=wrong
    )


@way
async def stranger(world: World) -> Reply:
    root, member = world.keys["root"], world.keys["member"]
    world.keys["root"] = member
    try:
        world.keys["stranger"] = await world.make_user("stranger", None)
    finally:
        world.keys["root"] = root
    return await world.call("sts:AssumeRole", "stranger")


@way
async def explicitly_denied(world: World) -> Reply:
    statement = {"Effect": "Deny", "Action": "iam:ListUsers", "Resource": "*"}
    world.keys["denied"] = await world.make_user(
        "denied", json.dumps({"Version": "2012-10-17", "Statement": statement})
    )
    return await world.call("iam:ListUsers", "denied")


# SAML.


@way
async def session_not_on_or_after_passed(world: World) -> Reply:
    past = saml_idp.saml_time(world.broker.clock.now() - timedelta(hours=1))
    return await world.saml(session_not_on_or_after=past)


@way
async def assertion_expired(world: World) -> Reply:
    past = saml_idp.saml_time(world.broker.clock.now() - timedelta(hours=1))
    return await world.saml(not_on_or_after=past, confirmation_not_on_or_after=past)


@way
async def signed_by_another_key(world: World) -> Reply:
    return await world.saml(signing_key=key_pair("stranger"))


@way
async def changed_after_signing(world: World) -> Reply:
    acs = f"{ORIGIN}/saml"
    document = saml_idp.build_document(
        now=world.broker.clock.now(), recipient=acs, response={"destination": acs}
    )
    name = document.find(".//saml:NameID", saml_idp.NS)
    assert name is not None
    name.text = "mallory"
    return await world.call(
        "sts:AssumeRoleWithSAML", "nobody", SAMLAssertion=saml_idp.encode(document)
    )


@way
async def plaintext_where_encryption_is_required(world: World) -> Reply:
    provider = await world.iam(
        "CreateSAMLProvider",
        Name="Sealed",
        SAMLMetadataDocument=saml_idp.metadata_xml(),
        AddPrivateKey=private_key("sealed"),
        AssertionEncryptionMode="Required",
    )
    arn = provider["SAMLProviderArn"]
    return await world.saml(
        attributes={"role": f"{READER},{arn}"}, given={"PrincipalArn": arn}
    )


def private_key(name: str) -> str:
    return key_pair(name).private_pem.decode()


# Providers.


@way
async def metadata_without_idp(world: World) -> Reply:
    text = saml_idp.metadata_xml()
    start, end = text.index("<md:IDPSSODescriptor"), text.index("</md:EntityDescriptor")
    return await world.call(
        "iam:CreateSAMLProvider",
        "root",
        Name="X",
        SAMLMetadataDocument=f"{text[:start]}<!-- {'.' * 1000} -->{text[end:]}",
    )


async def _provider_with_keys(world: World, name: str, count: int) -> str:
    made = await world.iam(
        "CreateSAMLProvider",
        Name=name,
        SAMLMetadataDocument=saml_idp.metadata_xml(),
        AddPrivateKey=private_key("first"),
    )
    arn = str(made["SAMLProviderArn"])
    for _ in range(count - 1):
        await world.iam(
            "UpdateSAMLProvider", SAMLProviderArn=arn, AddPrivateKey=private_key("next")
        )
    return arn


@way
async def third_private_key(world: World) -> Reply:
    arn = await _provider_with_keys(world, "Full", 2)
    return await world.call(
        "iam:UpdateSAMLProvider",
        "root",
        SAMLProviderArn=arn,
        AddPrivateKey=private_key("third"),
    )


@way
async def add_and_remove_key(world: World) -> Reply:
    return await world.call(
        "iam:UpdateSAMLProvider",
        "root",
        SAMLProviderArn=SAML,
        AddPrivateKey=private_key("first"),
        RemovePrivateKey="SAMLPK" + "A" * 16,
    )


# Web identity.


async def _exchange(world: World, token: str) -> Reply:
    return await world.call(
        "sts:AssumeRoleWithWebIdentity", "nobody", WebIdentityToken=token
    )


@way
async def issuer_down(world: World) -> Reply:
    """A provider whose keys were never fetched."""
    from tests.support.oidc_issuer import OidcIssuer

    url = f"{world.issuer.issuer.url}/down"
    await world.iam(
        "CreateOpenIDConnectProvider",
        Url=url,
        ClientIDList=["client-1"],
        ThumbprintList=["a" * 40],
    )
    return await _exchange(world, OidcIssuer(url).token())


@way
async def unknown_kid(world: World) -> Reply:
    issuer = world.issuer.issuer
    return await _exchange(world, issuer.token(header={"kid": "none"}))


@way
async def key_of_encryption(world: World) -> Reply:
    issuer = world.issuer.issuer
    issuer.add_key("enc", number=7, use="enc")
    async with moved(world, 120):
        return await _exchange(world, issuer.token(kid="enc"))


@way
async def critical_header(world: World) -> Reply:
    return await _exchange(
        world, world.issuer.issuer.token(header={"crit": ["b64"], "b64": True})
    )


@way
async def bad_token_signature(world: World) -> Reply:
    stranger = make_key("RS256", 9)
    return await _exchange(world, world.issuer.issuer.token(key=stranger))


# Signatures.


@way
async def wrong_region_at_regional_host(world: World) -> Reply:
    folder = Path(world.texts["folder"]) / "regions"
    async with in_process(
        folder, regions="eu-west-3", home_region="eu-west-3"
    ) as strict:
        key = await strict.create_account(ACCOUNT)
        return await strict.post("sts", CALLER, key, region="mars-north-1")


@way
async def scope_of_another_service(world: World) -> Reply:
    key = world.keys["user"]
    return await world.broker.post("s3", CALLER, key)


@way
async def wrong_signature(world: World) -> Reply:
    return await world.sign(
        lambda headers: renamed(headers, "Signature=", "Signature=f")
    )


@way
async def clock_behind(world: World) -> Reply:
    async with moved(world, 600):
        return await world.sign()


@way
async def clock_ahead(world: World) -> Reply:
    async with moved(world, -600):
        return await world.sign()


def _date_of(headers: Mapping[str, str]) -> str:
    return headers["X-Amz-Date"][:8]


@way
async def scope_of_another_day(world: World) -> Reply:
    return await world.sign(
        lambda headers: renamed(headers, f"/{_date_of(headers)}/", "/20200101/")
    )


@way
async def wrong_terminator(world: World) -> Reply:
    return await world.sign(lambda headers: renamed(headers, "aws4_request", "aws3"))


@way
async def host_unsigned(world: World) -> Reply:
    return await world.sign(
        lambda headers: renamed(headers, "content-type;host", "content-type")
    )


@way
async def unknown_key(world: World) -> Reply:
    return await world.broker.post("sts", CALLER, Key("AKIARZPUZDIKAAAACAQD", "a" * 40))


@way
async def session_key_without_token(world: World) -> Reply:
    key = world.keys["role"]
    assert key is not None
    return await world.broker.post("sts", CALLER, replace(key, session_token=None))


@way
async def token_of_another_session(world: World) -> Reply:
    role, session = world.keys["role"], world.keys["session"]
    assert role is not None
    assert session is not None
    mixed = replace(role, session_token=session.session_token)
    return await world.broker.post("sts", CALLER, mixed)


@way
async def inactive_key(world: World) -> Reply:
    key = await world.make_user("retired", None)
    await world.iam(
        "UpdateAccessKey",
        UserName="retired",
        AccessKeyId=key.access_key_id,
        Status="Inactive",
    )
    return await world.broker.post("sts", CALLER, key)


@way
async def session_over(world: World) -> Reply:
    brief = await world.mint("GetScopedCredentials", "role", DurationSeconds=1)
    async with moved(world, 5):
        return await world.broker.post("sts", CALLER, brief)


@way
async def no_credential(world: World) -> Reply:
    def drop(headers: dict[str, str]) -> None:
        kept = re.sub(r"Credential=\S+, ", "", headers["Authorization"])
        headers["Authorization"] = kept

    return await world.sign(drop)


@way
async def short_credential(world: World) -> Reply:
    return await world.sign(lambda headers: renamed(headers, "/sts/", "/"))


@way
async def malformed_date(world: World) -> Reply:
    return await world.sign(lambda headers: headers.update({"X-Amz-Date": "today"}))


@way
async def no_date(world: World) -> Reply:
    return await world.sign(lambda headers: headers.pop("X-Amz-Date"))


@way
async def presigned_without_date(world: World) -> Reply:
    return await world.presigned(lambda url: url.replace("X-Amz-Date", "X-Amz-Dated"))


@way
async def sigv4a(world: World) -> Reply:
    return await world.sign(
        lambda headers: renamed(headers, "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")
    )
