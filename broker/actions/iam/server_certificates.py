"""Server certificates: upload, lists, renaming and deletion."""

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import change, read
from broker.actions.iam.plain import Answer, Plain
from broker.kinds.kind import create
from broker.kinds.server_certificates import SERVER_CERTIFICATES, with_private_keys
from broker.model.request import Given
from broker.model.sealing import Sealer

_PLAIN = Plain(SERVER_CERTIFICATES)
_ON = on.named(SERVER_CERTIFICATES)


def server_certificate_actions(sealer: Sealer) -> tuple[Action, ...]:
    """The actions on server certificates; ``sealer`` keeps the private keys."""
    kept = with_private_keys(sealer)

    async def upload(given: Given, call: Call) -> Answer:
        made = await create(kept, given, call.work)
        tags = {"Tags": views.tag_list(made.tags)} if made.tags else {}
        return {"ServerCertificateMetadata": kept.view(made), **tags}

    return (
        change(
            "UploadServerCertificate",
            upload,
            on.new("server-certificate", "ServerCertificateName"),
        ),
        read("GetServerCertificate", _get, _ON),
        read(
            "ListServerCertificates", _PLAIN.list_all, on.all_of("server-certificate")
        ),
        change(
            "UpdateServerCertificate",
            _PLAIN.update,
            _ON,
            also=on.renamed(SERVER_CERTIFICATES, "NewServerCertificateName"),
        ),
        change("DeleteServerCertificate", _PLAIN.delete, _ON),
    )


async def _get(given: Given, call: Call) -> Answer:
    found = await _PLAIN.find(given, call)
    # As AWS answers them: Terraform replaces a certificate that ends in a newline.
    view = {
        "ServerCertificateMetadata": SERVER_CERTIFICATES.view(found),
        "CertificateBody": found.body.strip(),
        "Tags": views.tag_list(found.tags),
    }
    if found.chain is not None:
        view["CertificateChain"] = found.chain.strip()
    return {"ServerCertificate": view}
