"""Signing certificates and SSH keys of users, and their credentials of services."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from msgspec.structs import replace

from broker.actions.action import Action, Call, Handle
from broker.actions.iam import targets as on
from broker.actions.iam.declare import ActionTarget, Context, change, read
from broker.actions.iam.holders import Holder, get_holder, read_holder
from broker.actions.iam.paging import cut, page_request, truncation
from broker.errors import UnrecognizedPublicKeyEncoding
from broker.kinds import user_credentials
from broker.kinds.accounts import require_account
from broker.kinds.user_credentials import (
    parse_ssh_key,
    pem_form,
    ssh_form,
)
from broker.kinds.users import require_user
from broker.model.credentials import CredentialKind, UserCredential
from broker.model.page import Page
from broker.model.request import Params
from broker.model.sealing import Sealer
from broker.model.secret import Secret
from broker.stores.directory.kinds import USER_CREDENTIAL
from broker.stores.directory.port import DirectoryReader

_SERVICE_KEY = "iam:servicespecificcredentialservicename"
_FORMS = {"SSH": ssh_form, "PEM": pem_form}

_id_of = attrgetter("credential_id")
_Named = tuple[CredentialKind, str]
"""A kind, and the member by which requests name one."""

_CERTIFICATE = CredentialKind.SIGNING_CERTIFICATE, "CertificateId"
_SSH_KEY = CredentialKind.SSH_PUBLIC_KEY, "SSHPublicKeyId"
_SERVICE = CredentialKind.SERVICE_SPECIFIC, "ServiceSpecificCredentialId"


def user_credential_actions(sealer: Sealer) -> tuple[Action, ...]:
    """The actions on these credentials; ``sealer`` keeps the services' secrets."""

    async def create(params: Params, call: Call) -> dict[str, Any]:
        user = await require_user(call.change, call.account, params["UserName"])
        made, secret = await user_credentials.create_service_credential(
            call.change,
            await require_account(call.change, call.account),
            user,
            params["ServiceName"],
            age_days=params.get("CredentialAgeDays"),
            sealer=sealer,
            now=call.now,
        )
        return {"ServiceSpecificCredential": _with_secret(made, user.name, secret)}

    async def reset(params: Params, call: Call) -> dict[str, Any]:
        credential, holder = await _require(_SERVICE, params, call, call.change)
        made, secret = await user_credentials.reset_service_credential(
            call.change, credential, sealer=sealer
        )
        name = holder.named.get("UserName", "")
        return {"ServiceSpecificCredential": _with_secret(made, name, secret)}

    held = _service_credential, service_held
    return (
        change("UploadSigningCertificate", _upload_certificate, on.user_or_self),
        read("ListSigningCertificates", _list_certificates, on.user_or_self),
        change("UploadSSHPublicKey", _upload_key, on.user),
        read("GetSSHPublicKey", _get_key, on.user),
        read("ListSSHPublicKeys", _list_keys, on.user_or_self),
        change("CreateServiceSpecificCredential", create, on.user, service_asked),
        change("ResetServiceSpecificCredential", reset, *held),
        read("ListServiceSpecificCredentials", _list_services, _one_or_all),
        change("UpdateSigningCertificate", _updating(_CERTIFICATE), on.user_or_self),
        change("DeleteSigningCertificate", _deleting(_CERTIFICATE), on.user_or_self),
        change("UpdateSSHPublicKey", _updating(_SSH_KEY), on.user_or_self),
        change("DeleteSSHPublicKey", _deleting(_SSH_KEY), on.user_or_self),
        change("UpdateServiceSpecificCredential", _updating(_SERVICE), *held),
        change("DeleteServiceSpecificCredential", _deleting(_SERVICE), *held),
    )


async def _upload_certificate(params: Params, call: Call) -> dict[str, Any]:
    holder = await get_holder(params, call, call.change)
    made = await user_credentials.upload_certificate(
        call.change,
        await require_account(call.change, call.account),
        holder.holder_id,
        params["CertificateBody"],
        call.now,
    )
    return {"Certificate": _certificate(made, holder)}


async def _list_certificates(params: Params, call: Call) -> dict[str, Any]:
    holder, page = await _page(CredentialKind.SIGNING_CERTIFICATE, params, call)
    return {
        "Certificates": [_certificate(credential, holder) for credential in page.items],
        **truncation(page),
    }


async def _page(
    kind: CredentialKind, params: Params, call: Call
) -> tuple[Holder, Page[UserCredential]]:
    holder = await get_holder(params, call, call.directory)
    where = {"kind": kind, "user_id": holder.holder_id}
    credentials = await call.directory.all_of(USER_CREDENTIAL, call.account, **where)
    return holder, cut(credentials, _id_of, page_request(params))


async def _upload_key(params: Params, call: Call) -> dict[str, Any]:
    user = await require_user(call.change, call.account, params["UserName"])
    made = await user_credentials.upload_ssh_key(
        call.change,
        await require_account(call.change, call.account),
        user,
        params["SSHPublicKeyBody"],
        call.now,
    )
    return {"SSHPublicKey": _key(made, user.name, made.body)}


async def _get_key(params: Params, call: Call) -> dict[str, Any]:
    credential, holder = await _require(_SSH_KEY, params, call, call.directory)
    form = _FORMS.get(params["Encoding"])
    if form is None:
        raise UnrecognizedPublicKeyEncoding("The encoding must be SSH or PEM.")
    body = form(parse_ssh_key(credential.body))
    return {"SSHPublicKey": _key(credential, holder.named["UserName"], body)}


async def _list_keys(params: Params, call: Call) -> dict[str, Any]:
    holder, page = await _page(CredentialKind.SSH_PUBLIC_KEY, params, call)
    name = holder.named.get("UserName", call.account)
    return {
        "SSHPublicKeys": [
            {
                "UserName": name,
                "SSHPublicKeyId": key.credential_id,
                "Status": key.status.value,
                "UploadDate": key.created_at,
            }
            for key in page.items
        ],
        **truncation(page),
    }


async def _list_services(params: Params, call: Call) -> dict[str, Any]:
    service = params.get("ServiceName")
    if service is not None:
        service = user_credentials.require_service(service)
    where: dict[str, object] = {"kind": CredentialKind.SERVICE_SPECIFIC}
    if not params.get("AllUsers"):
        holder = await get_holder(params, call, call.directory)
        where["user_id"] = holder.holder_id
    credentials = await call.directory.all_of(USER_CREDENTIAL, call.account, **where)
    page = cut(
        [c for c in credentials if service in {None, c.details["service"]}],
        _id_of,
        page_request(params),
    )
    rows = []
    for credential in page.items:
        holder = await read_holder(call.directory, call.account, credential.user_id)
        rows.append(_service(credential, holder.named.get("UserName", "")))
    answer: dict[str, Any] = {"ServiceSpecificCredentials": rows}
    # As recorded: this list says nothing of a truncation that is none.
    return answer if page.marker is None else {**answer, **truncation(page)}


def service_asked(params: Params, _on: ActionTarget) -> Context:
    """``iam:ServiceSpecificCredentialServiceName`` and ``…AgeDays`` as asked for."""
    context: dict[str, tuple[str, ...]] = {
        _SERVICE_KEY: (params["ServiceName"].lower(),)
    }
    if "CredentialAgeDays" in params:
        days = str(params["CredentialAgeDays"])
        context["iam:servicespecificcredentialagedays"] = (days,)
    return context


def service_held(_given: Params, on: ActionTarget) -> Context:
    """``iam:ServiceSpecificCredentialServiceName`` of the credential."""
    service = on.context.get(_SERVICE_KEY)
    return {} if service is None else {_SERVICE_KEY: service}


async def _service_credential(params: Params, call: Call) -> ActionTarget:
    """The user, with the service of the credential that the request names."""
    user = await on.user_or_self(params, call)
    credential = await call.directory.find(
        USER_CREDENTIAL, call.account, params["ServiceSpecificCredentialId"]
    )
    if credential is None or credential.kind is not CredentialKind.SERVICE_SPECIFIC:
        return user
    service = {_SERVICE_KEY: (credential.details["service"],)}
    return replace(user, context={**user.context, **service})


async def _one_or_all(params: Params, call: Call) -> ActionTarget:
    if params.get("AllUsers"):
        return ActionTarget("*")
    return await on.user_or_self(params, call)


def _updating(named: _Named) -> Handle:
    async def update(params: Params, call: Call) -> None:
        credential, _ = await _require(named, params, call, call.change)
        await user_credentials.set_status(call.change, credential, params["Status"])

    return update


def _deleting(named: _Named) -> Handle:
    async def delete(params: Params, call: Call) -> None:
        credential, _ = await _require(named, params, call, call.change)
        await call.change.remove(USER_CREDENTIAL, credential)

    return delete


async def _require(
    named: _Named, params: Params, call: Call, directory: DirectoryReader
) -> tuple[UserCredential, Holder]:
    kind, parameter = named
    holder = await get_holder(params, call, directory)
    credential = await user_credentials.require_credential(
        directory,
        await require_account(directory, call.account),
        kind,
        holder.holder_id,
        params[parameter],
        holder_name=holder.named.get("UserName", call.account),
    )
    return credential, holder


def _certificate(credential: UserCredential, holder: Holder) -> dict[str, Any]:
    return {
        "UserName": holder.named.get("UserName", credential.account),
        "CertificateId": credential.credential_id,
        "CertificateBody": credential.body,
        "Status": credential.status.value,
        "UploadDate": credential.created_at,
    }


def _key(credential: UserCredential, user_name: str, body: str) -> dict[str, Any]:
    return {
        "UserName": user_name,
        "SSHPublicKeyId": credential.credential_id,
        "Fingerprint": credential.fingerprint,
        "SSHPublicKeyBody": body,
        "Status": credential.status.value,
        "UploadDate": credential.created_at,
    }


def _service(credential: UserCredential, user_name: str) -> dict[str, Any]:
    service = credential.details["service"]
    is_api_key = user_credentials.SERVICES[service] is not None
    name = "ServiceCredentialAlias" if is_api_key else "ServiceUserName"
    view: dict[str, Any] = {
        "CreateDate": credential.created_at,
        "ServiceName": service,
        name: credential.details["user_name"],
        "ServiceSpecificCredentialId": credential.credential_id,
        "UserName": user_name,
        "Status": credential.status.value,
    }
    if credential.expires_at is not None:
        view["ExpirationDate"] = credential.expires_at
    return view


def _with_secret(
    credential: UserCredential, user_name: str, secret: Secret
) -> dict[str, Any]:
    is_api_key = user_credentials.SERVICES[credential.details["service"]] is not None
    name = "ServiceCredentialSecret" if is_api_key else "ServicePassword"
    return {**_service(credential, user_name), name: secret.reveal()}
