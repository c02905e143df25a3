"""The OPA hooks of Ceph, MinIO and RustFS: ``{"result": true}`` or not.

A user of the store is a user of the same name in the service's account, or, if the name
is an ARN, the principal with that ARN. Nothing else that the store says of the user
counts: groups and claims are the store's own.

MinIO and RustFS ask at one path, in forms of their own.

Sources: Ceph, ``rgw_opa.cc``; MinIO, "Access Management Plugin Guide"; RustFS,
``crates/policy/src/policy/opa.rs``, ``rustfs/src/auth.rs``, ``rustfs/src/storage/access.rs``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated

import orjson
from pydantic import Field, StringConstraints

from broker.actions.action import Action
from broker.actions.decisions.authorize import ANSWERS, QUESTIONS
from broker.actions.decisions.question import Batch, DecisionAnswer, Question
from broker.edges.asgi import Scope
from broker.edges.doors import CEPH_PATH, MINIO_PATH
from broker.edges.endpoint import (
    JSON,
    Endpoint,
    Find,
    JsonObject,
    Operation,
    Response,
    read_json,
    read_model,
)
from broker.errors import BrokerError, ProofError
from broker.model.request import Params, RawRequest
from broker.pipeline import Pipeline, Result
from broker.proofs.scheme import Scheme
from broker.protocols.enforcement import RequestAmbiguous
from broker.protocols.enforcement.s3 import read_s3_request

_OK, _UNAUTHORIZED = 200, 401
_ONLY_POST: Response = 405, ((b"allow", b"POST"),), b""
_NEW_BUCKET = re.compile(r"/([^/:*?]{1,255})/?")
_ACCOUNT = re.compile(r"[0-9]{12}")

_Name = Annotated[str, StringConstraints(max_length=2048)]
_UserName = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
_ActionName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Conditions = Annotated[dict[str, list[str]], Field(max_length=1000)]
_MINIO_KEYS: Mapping[str, str] = {
    "sourceip": "aws:SourceIp",
    "securetransport": "aws:SecureTransport",
    "useragent": "aws:UserAgent",
    "referer": "aws:Referer",
    "prefix": "s3:prefix",
    "delimiter": "s3:delimiter",
    "max-keys": "s3:max-keys",
    "versionid": "s3:versionid",
    "signatureversion": "s3:signatureversion",
    "authtype": "s3:authType",
    **{
        f"x-amz-{name}": f"s3:x-amz-{name}"
        for name in (
            *("acl", "content-sha256", "copy-source", "metadata-directive"),
            *("server-side-encryption", "server-side-encryption-aws-kms-key-id"),
            *("server-side-encryption-customer-algorithm", "storage-class"),
        )
    },
}
"""The conditions of MinIO that are condition keys, by their names in lower case.

Those about tags and object locks are not among them: a client can make them up. MinIO
adds a client's headers and query to its own conditions, so a name may come in several
spellings: ``?versionId=`` as ``versionid``, too. If their values differ, one is the
client's, and the question is refused.
"""

_RUSTFS_KEYS: Mapping[str, str] = {
    name: key
    for name, key in _MINIO_KEYS.items()
    if name not in {"prefix", "delimiter", "max-keys", "versionid"}
}
"""The conditions of RustFS that are condition keys, by their names in lower case.

RustFS adds all headers of its client under their own names. One that is named like a
parameter of the query cannot be told from the parameter, and a client that sends the
header alone would choose what a policy sees.
"""


class _Bucket(JsonObject):
    name: _Name = ""
    tenant: _Name = ""


class _BucketInfo(JsonObject):
    bucket: _Bucket = _Bucket()


class _UserInfo(JsonObject):
    user_id: Annotated[str, StringConstraints(min_length=1, max_length=2048)]


class _CephInput(JsonObject):
    method: Annotated[str, StringConstraints(max_length=20)]
    params: Annotated[str, StringConstraints(max_length=16_384)] = ""
    decoded_uri: _Name = ""
    object_name: _Name = ""
    user_info: _UserInfo
    bucket_info: _BucketInfo | None = None


class _Target(JsonObject):
    bucket: _Name = ""
    object: _Name = ""


class _MinioInput(_Target):
    account: _UserName
    action: _ActionName
    conditions: _Conditions | None = None


class _RustfsIdentity(JsonObject):
    account: _UserName


class _RustfsContext(JsonObject):
    conditions: _Conditions | None = None


class _RustfsInput(JsonObject):
    identity: _RustfsIdentity
    resource: _Target
    action: _ActionName
    context: _RustfsContext


def read_ceph(body: bytes) -> Question:
    """The question in Ceph's words.

    Raises:
        RequestAmbiguous: it is about no action of S3.
        ValidationError: it is none.
    """
    ceph_input = read_model(_CephInput, read_json(body).get("input"))
    tenant, _, _ = ceph_input.user_info.user_id.rpartition("$")
    if ceph_input.bucket_info is None:
        bucket = _Bucket(name=_bucket_to_make(ceph_input))
    else:
        bucket = ceph_input.bucket_info.bucket
    if bucket.tenant not in {"", tenant}:
        raise RequestAmbiguous("The bucket belongs to another tenant than the user.")
    read = read_s3_request(
        ceph_input.method, bucket.name, ceph_input.object_name, ceph_input.params
    )
    if read is None:
        raise RequestAmbiguous("The request does not map to a known action.")
    target, context = read
    return Question(
        is_foreign=True,
        principal=_principal(ceph_input.user_info.user_id),
        actions=(target.action,),
        resources=(target.resource,),
        context=context,
    )


def _bucket_to_make(params: _CephInput) -> str:
    """The bucket that is not there yet; empty for requests about none."""
    match = _NEW_BUCKET.fullmatch(params.decoded_uri)
    is_new = match is not None and params.method == "PUT" and not params.params
    return match[1] if match is not None and is_new else ""


def read_minio(body: bytes) -> Question | None:
    """The question in MinIO's words or in RustFS's; None for what RustFS sends first.

    RustFS posts nothing when it starts, and goes on only if the answer is 200.

    Raises:
        RequestAmbiguous: it tells a condition twice, with different values.
        ValidationError: it is none.
    """
    if not body:
        return None
    content = read_json(body).get("input")
    if isinstance(content, dict) and "identity" in content:
        rustfs = read_model(_RustfsInput, content)
        context = _read_conditions(rustfs.context.conditions or {}, _RUSTFS_KEYS)
        account, action = rustfs.identity.account, rustfs.action
        resource = _read_resource(rustfs.resource)
    else:
        minio = read_model(_MinioInput, content)
        context = _read_conditions(minio.conditions or {}, _MINIO_KEYS)
        account, action = minio.account, minio.action
        resource = _read_resource(minio)
    return Question(
        is_foreign=True,
        principal=_principal(account),
        actions=(action,),
        resources=(resource,),
        context=context,
    )


def _read_resource(target: _Target) -> str:
    if not target.bucket:
        return "*"
    path = f"{target.bucket}/{target.object}" if target.object else target.bucket
    return f"arn:aws:s3:::{path}"


def _read_conditions(
    conditions: Mapping[str, list[str]], keys: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {}
    for name, values in conditions.items():
        key = keys.get(name.lower())
        if key is None:
            continue
        distinct = tuple(dict.fromkeys(values))
        if len(distinct) > 1 or context.get(key, distinct) != distinct:
            raise RequestAmbiguous(f"The condition {name[:64]} has several values.")
        context[key] = distinct
    return context


def hook_endpoints(
    pipeline: Pipeline, authorize: Action, stores: Scheme
) -> dict[str, Endpoint]:
    """What answers the hooks, by their paths."""
    return {
        path: Endpoint(
            pipeline, _found(Operation(authorize, stores, _asked(read), _show)), _refuse
        )
        for path, read in ((CEPH_PATH, read_ceph), (MINIO_PATH, read_minio))
    }


def _found(hook: Operation) -> Find:
    return lambda scope: hook if scope["method"] == "POST" else _ONLY_POST


def _asked(read: Callable[[bytes], Question | None]) -> Callable[[RawRequest], Params]:
    def ask(raw: RawRequest) -> Params:
        try:
            question = read(raw.body)
        except RequestAmbiguous as error:
            question = Question(ambiguous=str(error))
        return {QUESTIONS: Batch(questions=(question,) if question else ())}

    return ask


def _show(_scope: Scope, _given: Params, result: Result) -> Response:
    answers: list[DecisionAnswer] = result[ANSWERS]
    allowed = any(answer.allowed for answer in answers)  # one, or none was asked for
    return _OK, (JSON,), orjson.dumps({"result": allowed})


def _refuse(_scope: Scope, _given: Params, error: BrokerError) -> Response:
    """Whatever is not ``true`` is a refusal to a store."""
    status = _UNAUTHORIZED if isinstance(error, ProofError) else error.status
    body = {"result": False, "code": error.code, "message": error.words}
    return status, (JSON,), orjson.dumps(body)


def _principal(name: str) -> str:
    """Who a store's user is; ``TENANT$NAME`` is a user of the account ``TENANT``."""
    if name.startswith("arn:"):
        return name
    tenant, dollar, rest = name.partition("$")
    if not dollar:
        return f"user/{name}"
    if not _ACCOUNT.fullmatch(tenant) or "$" in rest or "/" in rest:
        raise RequestAmbiguous(f"{name[:200]} is not a user of an account.")
    return f"arn:aws:iam::{tenant}:user/{rest}"
