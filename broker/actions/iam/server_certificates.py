"""Server certificates: upload, lists, renaming and deletion."""

from typing import Any

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam import views
from broker.actions.iam.declare import ActionTarget, change, read
from broker.actions.iam.paging import page_request, stored_page, truncation
from broker.identities import server_certificates
from broker.identities.accounts import require_account
from broker.identities.tags import KeyCase, checked_tags
from broker.model.arn import iam_arn
from broker.model.credentials import ServerCertificate
from broker.model.request import Given
from broker.model.sealing import Sealer
from broker.model.secret import Secret


def server_certificate_actions(sealer: Sealer) -> tuple[Action, ...]:
    """The actions on server certificates; ``sealer`` keeps the private keys."""

    async def upload(given: Given, call: Call) -> dict[str, Any]:
        made = await server_certificates.upload_server_certificate(
            call.change,
            await require_account(call.change, call.account),
            name=given["ServerCertificateName"],
            path=given.get("Path", "/"),
            body=given["CertificateBody"],
            private_key=Secret(given["PrivateKey"]),
            chain=given.get("CertificateChain"),
            tags=checked_tags(
                views.given_tags(given.get("Tags", ())), KeyCase.SENSITIVE
            ),
            sealer=sealer,
            now=call.now,
        )
        answer: dict[str, Any] = {"ServerCertificateMetadata": _metadata(made)}
        if made.tags:
            answer["Tags"] = views.tag_list(made.tags)
        return answer

    return (
        change(
            "UploadServerCertificate",
            upload,
            on.new("server-certificate", "ServerCertificateName"),
        ),
        read("GetServerCertificate", _get, server_certificate),
        read("ListServerCertificates", _list_all, on.all_of("server-certificate")),
        change("UpdateServerCertificate", _update, server_certificate, also=_renamed),
        change("DeleteServerCertificate", _delete, server_certificate),
    )


async def server_certificate(given: Given, call: Call) -> ActionTarget:
    """The server certificate ``ServerCertificateName``."""
    name = given["ServerCertificateName"]
    found = await call.directory.find_server_certificate(call.account, name)
    if found is None:
        return ActionTarget(iam_arn(call.account, f"server-certificate/{name}"))
    return ActionTarget(found.arn, on.resource_tags(found.tags))


def _renamed(
    given: Given, call: Call, certificate: ActionTarget
) -> ActionTarget | None:
    return on.renamed(
        "server-certificate", "NewServerCertificateName", given, call, certificate
    )


async def _get(given: Given, call: Call) -> dict[str, Any]:
    found = await _require(given, call)
    # As AWS answers them: Terraform replaces a certificate that ends in a newline.
    view: dict[str, Any] = {
        "ServerCertificateMetadata": _metadata(found),
        "CertificateBody": found.body.strip(),
        "Tags": views.tag_list(found.tags),
    }
    if found.chain is not None:
        view["CertificateChain"] = found.chain.strip()
    return {"ServerCertificate": view}


async def _list_all(given: Given, call: Call) -> dict[str, Any]:
    page = await stored_page(
        call.directory.list_server_certificates(
            call.account, given.get("PathPrefix", "/"), page_request(given)
        )
    )
    return {
        "ServerCertificateMetadataList": [_metadata(found) for found in page.items],
        **truncation(page),
    }


async def _update(given: Given, call: Call) -> None:
    await server_certificates.rename_server_certificate(
        call.change,
        await _require(given, call),
        name=given.get("NewServerCertificateName"),
        path=given.get("NewPath"),
    )


async def _delete(given: Given, call: Call) -> None:
    await call.change.delete_server_certificate(await _require(given, call))


async def _require(given: Given, call: Call) -> ServerCertificate:
    return await server_certificates.require_server_certificate(
        call.directory, call.account, given["ServerCertificateName"]
    )


def _metadata(certificate: ServerCertificate) -> dict[str, Any]:
    return {
        "Path": certificate.path,
        "ServerCertificateName": certificate.name,
        "ServerCertificateId": certificate.certificate_id,
        "Arn": certificate.arn,
        "UploadDate": certificate.uploaded_at,
        "Expiration": certificate.expires_at,
    }
