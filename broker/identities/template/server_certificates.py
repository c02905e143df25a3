"""``ServerCertificates``: the properties of ``AWS::IAM::ServerCertificate``.

The private key is a secret, so certificates are uploaded by an API call. A template can
change their path and tags, and delete them.
"""

from broker.errors import BrokerError
from broker.identities.public_keys import parse_certificate, parse_chain
from broker.identities.server_certificates import SERVER_CERTIFICATES as RULES
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork
from broker.identities.template.properties import Properties
from broker.identities.template.section import Described, Members, Section
from broker.model.credentials import ServerCertificate
from broker.stores.directory.port import DirectoryReader


def _parse(properties: Properties, _reading: AccountReading) -> Members:
    name = properties.name("ServerCertificateName")
    path = properties.path_text()
    body = properties.text("CertificateBody").strip()
    chain = (properties.optional_text("CertificateChain") or "").strip()
    try:
        parse_certificate(body)
        if chain:
            parse_chain(chain)
    except BrokerError as error:
        raise TemplateError(properties.place, str(error)) from error
    return {
        "ServerCertificateName": name,
        "Path": path,
        "CertificateBody": body,
        "CertificateChain": chain,
        "Tags": properties.tags(KeyCase.SENSITIVE),
    }


async def _shown(one: ServerCertificate, _directory: DirectoryReader) -> Members:
    return {
        "ServerCertificateName": one.name,
        "Path": one.path,
        "CertificateBody": one.body.strip(),
        "CertificateChain": (one.chain or "").strip(),
        "Tags": dict(one.tags),
    }


def _require_calls(
    before: Described | None, after: Described
) -> tuple[Described | None, tuple[str, ...]]:
    if before is not None:
        return after, ()
    name = after.properties["ServerCertificateName"]
    return None, (f"server certificate {name}: call UploadServerCertificate",)


async def _given(wanted: Members, _work: AccountWork) -> Members:
    name, path = wanted["ServerCertificateName"], wanted["Path"]
    return {"NewServerCertificateName": name, "NewPath": path}


async def _check(
    before: ServerCertificate, wanted: Members, _work: AccountWork
) -> None:
    there = (before.body.strip(), (before.chain or "").strip())
    if there != (wanted["CertificateBody"], wanted["CertificateChain"]):
        raise TemplateError(
            "CertificateBody",
            "another certificate is uploaded by a call, with its private key",
        )


SERVER_CERTIFICATES = Section(
    section="ServerCertificates",
    of=RULES,
    name="ServerCertificateName",
    parse=_parse,
    shown=_shown,
    given=_given,
    check=_check,
).entity_kind(create=None, require_calls=_require_calls)
