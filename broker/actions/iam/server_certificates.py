"""Server certificates, which belong to the account."""

from __future__ import annotations

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.plain import Answer, Plain
from broker.kinds.rules import create
from broker.kinds.user_credentials import (
    SERVER_CERTIFICATES,
    with_private_keys,
)
from broker.model.request import Params
from broker.model.sealing import Sealer

_PLAIN = Plain(SERVER_CERTIFICATES)


def server_certificate_actions(sealer: Sealer) -> tuple[Action, ...]:
    """The actions on server certificates; ``sealer`` keeps the private keys."""
    kept = with_private_keys(sealer)

    async def upload(params: Params, call: Call) -> Answer:
        made = await create(kept, params, call.work)
        tags = {"Tags": views.tag_list(made.tags)} if made.tags else {}
        return {"ServerCertificateMetadata": kept.view(made), **tags}

    return (
        change(
            "UploadServerCertificate",
            upload,
            on.new("server-certificate", "ServerCertificateName"),
        ),
        read("GetServerCertificate", _get, on.named(SERVER_CERTIFICATES)),
        *_PLAIN.operations(
            "ListServerCertificates",
            "UpdateServerCertificate",
            "DeleteServerCertificate",
            "TagServerCertificate",
            "UntagServerCertificate",
            "ListServerCertificateTags",
        ),
    )


async def _get(params: Params, call: Call) -> Answer:
    certificate = await _PLAIN.find(params, call)
    # As AWS answers them: Terraform replaces a certificate that ends in a newline.
    view = {
        "ServerCertificateMetadata": SERVER_CERTIFICATES.view(certificate),
        "CertificateBody": certificate.body.strip(),
        "Tags": views.tag_list(certificate.tags),
    }
    if certificate.chain is not None:
        view["CertificateChain"] = certificate.chain.strip()
    return {"ServerCertificate": view}
