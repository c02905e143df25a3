"""Server certificates: a TLS certificate, its chain and its private key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.kinds.kind import Named, Work, renaming
from broker.kinds.limits import Quota
from broker.kinds.names import KeyCase, given_tags, require_path
from broker.kinds.user_credentials import (
    parse_certificate,
    parse_chain,
    require_key_pair,
)
from broker.model.credentials import SERVER_KEY_SEAL, ServerCertificate
from broker.model.sealing import Sealer
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import SERVER_CERTIFICATE

if TYPE_CHECKING:
    from broker.model.types import iam as types


def _view(found: ServerCertificate) -> types.ServerCertificateMetadata:
    return {
        "Path": found.path,
        "ServerCertificateName": found.name,
        "ServerCertificateId": found.certificate_id,
        "Arn": found.arn,
        "UploadDate": found.uploaded_at,
        "Expiration": found.expires_at,
    }


SERVER_CERTIFICATES = Named(
    kind=SERVER_CERTIFICATE,
    quota=Quota.SERVER_CERTIFICATES,
    change=renaming("NewServerCertificateName"),
    view=_view,
    missing="The Server Certificate with name {} cannot be found.",
    taken="The Server Certificate with name {0.name} already exists.",
    name="ServerCertificateName",
    resource="server-certificate",
    one="ServerCertificateMetadata",
    many="ServerCertificateMetadataList",
)


def with_private_keys(sealer: Sealer) -> Named[ServerCertificate]:
    """The kind where certificates are made: ``sealer`` keeps their private keys."""

    async def make(
        given: types.UploadServerCertificateRequest, work: Work
    ) -> ServerCertificate:
        tags = given_tags(given.get("Tags", ()), KeyCase.SENSITIVE)
        path = require_path(given.get("Path", "/"))
        certificate = parse_certificate(given["CertificateBody"])
        require_key_pair(certificate, given["PrivateKey"])
        chain = given.get("CertificateChain")
        if chain is not None:
            parse_chain(chain)
        certificate_id, (purpose, column) = new_unique_id("ASCA"), SERVER_KEY_SEAL
        key = given["PrivateKey"].encode("latin-1")
        return ServerCertificate(
            account=work.account,
            certificate_id=certificate_id,
            name=given["ServerCertificateName"],
            path=path,
            body=given["CertificateBody"],
            chain=chain,
            sealed_key=sealer.seal(purpose, work.account, certificate_id, column, key),
            uploaded_at=work.now,
            expires_at=certificate.not_valid_after_utc,
            tags=tags,
        )

    return replace(SERVER_CERTIFICATES, make=make)
