"""``ServerCertificates``: the properties of ``AWS::IAM::ServerCertificate``.

The private key is a secret, so certificates are uploaded by an API call. A template can
change their path and tags, and delete them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from broker.errors import BrokerError
from broker.identities.names import check_path
from broker.identities.public_keys import parse_certificate, parse_chain
from broker.identities.server_certificates import require_server_certificate
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    shown_tags,
)
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.model.page import read_pages
from broker.stores.directory.port.credentials import ServerCertificateReader

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSpec:
    """The public parts of a server certificate."""

    name: str
    path: str = field(metadata={"property": "Path"})
    body: str = field(metadata={"property": "CertificateBody"})
    chain: str = field(metadata={"property": "CertificateChain"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


def _parse(properties: Properties, _reading: AccountReading) -> CertificateSpec:
    spec = CertificateSpec(
        name=properties.name("ServerCertificateName"),
        path=properties.path_text(),
        body=properties.text("CertificateBody").strip(),
        chain=(properties.optional_text("CertificateChain") or "").strip(),
        tags=properties.tags(KeyCase.SENSITIVE),
    )
    try:
        parse_certificate(spec.body)
        if spec.chain:
            parse_chain(spec.chain)
    except BrokerError as error:
        raise TemplateError(properties.place, str(error)) from error
    return spec


async def _load(
    directory: ServerCertificateReader, account: AccountId
) -> list[CertificateSpec]:
    specs: list[CertificateSpec] = []
    listed = partial(directory.list_server_certificates, account, "/")
    async for certificates in read_pages(listed, _PAGE):
        specs += [
            CertificateSpec(
                name=found.name,
                path=found.path,
                body=found.body.strip(),
                chain=(found.chain or "").strip(),
                tags=dict(found.tags),
            )
            for found in certificates
        ]
    return specs


def _require_calls(
    before: CertificateSpec | None, after: CertificateSpec
) -> tuple[CertificateSpec | None, tuple[str, ...]]:
    if before is not None:
        return after, ()
    return None, (f"server certificate {after.name}: call UploadServerCertificate",)


async def _update(
    work: AccountWork, before: CertificateSpec, after: CertificateSpec
) -> None:
    if (before.body, before.chain) != (after.body, after.chain):
        raise TemplateError(
            "CertificateBody",
            "another certificate is uploaded by a call, with its private key",
        )
    found = await require_server_certificate(
        work.change, work.account.account_id, before.name
    )
    await work.change.update_server_certificate(
        replace(found, name=after.name, path=check_path(after.path), tags=after.tags)
    )


async def _delete(work: AccountWork, spec: CertificateSpec) -> None:
    await work.change.delete_server_certificate(
        await require_server_certificate(
            work.change, work.account.account_id, spec.name
        )
    )


def _show(spec: CertificateSpec) -> dict[str, object]:
    return {
        "ServerCertificateName": spec.name,
        "Path": spec.path,
        "CertificateBody": spec.body,
        "CertificateChain": spec.chain,
        "Tags": shown_tags(spec.tags),
    }


SERVER_CERTIFICATES: EntityKind[CertificateSpec] = EntityKind(
    section="ServerCertificates",
    noun="server certificate",
    parse=_parse,
    load=_load,
    create=None,
    update=_update,
    delete=_delete,
    show=_show,
    require_calls=_require_calls,
)
