"""A provider's MetadataUrl from the command line: set, read now, looked at, applied."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.support.oidc_issuer import serving
from tests.support.saml_idp import make_key_pair, metadata_xml
from tests.support.saml_publisher import Publisher, publishing, signed_metadata
from tests.unit.cli.conftest import ACCOUNT, CommandLine

SAML = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"
TODAY = datetime.now(UTC)
OLD, NEW = make_key_pair(not_before=TODAY), make_key_pair(not_before=TODAY)


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    with publishing(signed_metadata(OLD, OLD, NEW)) as running:
        monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", f"127.0.0.1:{running.port}")
        yield running


PIN = OLD.certificate_pem.decode()


def template(**options: object) -> str:
    if "MetadataUrl" in options:
        options = {"MetadataCertificate": PIN, **options}
    provider = {
        "Name": "Corp",
        "SamlMetadataDocument": metadata_xml(OLD),
        "Broker": options,
    }
    return yaml.safe_dump({"Accounts": {ACCOUNT: {"SAMLProviders": [provider]}}})


def test_it_is_read_at_once_on_demand(cli: CommandLine, publisher: Publisher) -> None:
    cli("apply", "-", stdin=template())
    cli("providers", "refresh", SAML, fails=True)
    assert "has no MetadataUrl" in " ".join(cli.stderr.replace("│", " ").split())
    options = (f"MetadataUrl={publisher.url}", f"MetadataCertificate={PIN}")
    cli("providers", "set", SAML, *options)
    assert "has not been fetched yet" in cli("doctor")
    said = cli.json("providers", "refresh", SAML)
    assert said["Problem"] == ""
    assert said["ChangedAt"] == said["ReadAt"]
    assert f"{publisher.url} was fetched at" in cli("doctor")
    (record,) = cli.audit("broker:RefreshSAMLMetadata")
    assert record["resources"] == [SAML]


def test_an_issuers_keys_are_fetched_too(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        host = server.host_and_path
        monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", host)
        provider = {"Url": server.issuer.url, "ClientIdList": ["app"]}
        accounts = {ACCOUNT: {"OIDCProviders": [provider]}}
        cli("apply", "-", stdin=yaml.safe_dump({"Accounts": accounts}))
        arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
        said = cli.json("providers", "refresh", arn)
        assert (said["Keys"], said["Problem"]) == (["key-1"], "")
        server.down = True
        said = json.loads(cli("providers", "refresh", arn, fails=True))
        assert "disconnected" in said["Problem"]
        cli("providers", "set", arn, f"StaticJwks={json.dumps(server.issuer.jwks())}")
        cli("providers", "refresh", arn, fails=True)
        assert "nothing is fetched" in " ".join(cli.stderr.replace("│", " ").split())


@pytest.mark.parametrize("is_down", [True, False])
def test_the_rules_are_blamed_only_if_they_refuse(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, *, is_down: bool
) -> None:
    with serving() as server:
        host = server.host_and_path
        monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", host)
        server.down = is_down
        provider = {"Url": server.issuer.url, "ClientIdList": ["app"]}
        accounts = {ACCOUNT: {"OIDCProviders": [provider]}}
        cli("apply", "-", stdin=yaml.safe_dump({"Accounts": accounts}))
        assert "INTERNAL_ISSUERS" not in cli.stderr
        if not is_down:
            monkeypatch.delenv("BROKER_INTERNAL_ISSUERS")
        told = cli("doctor", fails=True)
        assert "its keys cannot be read" in told
        assert ("INTERNAL_ISSUERS" in told) is not is_down


def test_unsigned_metadata_over_http_is_never_taken(
    cli: CommandLine, publisher: Publisher
) -> None:
    url, wanted = publisher.url, "MetadataUrl with http needs MetadataCertificate"
    for options in ({}, {"MetadataTrustTls": True}):
        text = template(MetadataUrl=url, MetadataCertificate="", **options)
        cli("apply", "-", stdin=text, fails=True)
        assert wanted in cli.stderr
    cli("apply", "-", stdin=template())
    cli("providers", "set", SAML, f"MetadataUrl={url}", fails=True)
    assert wanted in " ".join(cli.stderr.replace("│", " ").split())
    cli("apply", "-", stdin=template(MetadataUrl=url))
    publisher.text = metadata_xml(NEW)
    assert "signed" in cli("providers", "refresh", SAML, fails=True)


def test_what_went_wrong_is_told(cli: CommandLine, publisher: Publisher) -> None:
    publisher.answer = publisher.fail
    cli("apply", "-", stdin=template(MetadataUrl=publisher.url))
    assert "503" in cli("providers", "refresh", SAML, fails=True)
    text = cli("doctor", fails=True)
    assert "no valid metadata from" in text
    assert "503" in text


def test_a_template_does_not_bring_the_older_metadata_back(
    cli: CommandLine, publisher: Publisher
) -> None:
    text = template(MetadataUrl=publisher.url)
    cli("apply", "-", stdin=text)
    cli("providers", "refresh", SAML)
    newer = yaml.safe_load(cli("export", ACCOUNT))
    for words in (("apply", "-"), ("apply", "-", "--prune")):
        cli(*words, stdin=text)
        assert "No changes (" in cli.stderr
    assert yaml.safe_load(cli("export", ACCOUNT)) == newer
    (kept,) = newer["Accounts"][ACCOUNT]["SAMLProviders"]
    assert NEW.certificate_base64 in kept["SamlMetadataDocument"]
    # Without the option the template's own counts again.
    cli("apply", "-", stdin=template())
    (own,) = yaml.safe_load(cli("export", ACCOUNT))["Accounts"][ACCOUNT][
        "SAMLProviders"
    ]
    assert NEW.certificate_base64 not in own["SamlMetadataDocument"]


def test_pins_come_from_a_file(
    cli: CommandLine, publisher: Publisher, tmp_path: Path
) -> None:
    cli("apply", "-", stdin=template(MetadataUrl=publisher.url))
    pin = tmp_path / "pin.pem"
    pin.write_bytes(NEW.certificate_pem)
    cli("providers", "set", SAML, f"MetadataCertificate=@{pin}")
    assert "trusted" in cli("providers", "refresh", SAML, fails=True)
    pin.write_text("nonsense")
    cli("providers", "set", SAML, f"MetadataCertificate=@{pin}", fails=True)
    assert "in PEM" in " ".join(cli.stderr.replace("│", " ").split())


def test_a_template_outlives_the_certificate_it_began_with(
    cli: CommandLine, publisher: Publisher
) -> None:
    text = template(MetadataUrl=publisher.url)
    cli("apply", "-", stdin=text)
    cli("providers", "refresh", SAML)
    gone = make_key_pair(not_after=TODAY - timedelta(days=1))
    old, alone = (
        value.replace(OLD.certificate_base64, gone.certificate_base64)
        for value in (text, template())
    )
    assert old != text
    cli("apply", "-", stdin=old)
    assert "No changes (" in cli.stderr
    # A new provider does not begin with it, and neither does one without the option.
    cli("apply", "-", stdin=old.replace("Name: Corp", "Name: New"), fails=True)
    assert "expired" in cli.stderr
    cli("apply", "-", stdin=alone, fails=True)
    assert "expired" in cli.stderr
