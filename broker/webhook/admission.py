"""What to add to a pod: takes admission reviews, returns JSON patches.

Source: Kubernetes API, ``admission.k8s.io/v1``; RFC 6902; Amazon EKS User Guide,
"Configure Pods to use a Kubernetes service account".
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

API_VERSION = "admission.k8s.io/v1"
TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX = 600, 4_294_967_296
"""Source: Kubernetes' validation of ``ServiceAccountTokenProjection``."""

_VOLUME = "aws-iam-token"
"""As AWS's webhook names it: where both run, the second finds its work done."""

_FILE = "token"
_IDENTITY = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }
)
"""With one of these a container has credentials of its own, perhaps not the broker's."""
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,512}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_WARNING_CHARACTERS_MAX = 120


class ReviewError(Exception):
    """The request is not a review of a pod that can be understood."""


@dataclass(frozen=True, kw_only=True)
class Injection:
    """What pods get; an annotation replaces the audience and the token's time."""

    sts_endpoint: str
    region: str = ""
    annotation_prefix: str = "eks.amazonaws.com"
    audience: str = "sts.amazonaws.com"
    token_seconds: int = 86_400
    mount_path: str = "/var/run/secrets/eks.amazonaws.com/serviceaccount"


@dataclass(frozen=True, kw_only=True)
class PodReview:
    """A pod that is to be created, and the service account that it runs as."""

    uid: str
    namespace: str
    service_account: str
    pod: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Verdict:
    """The operations of a patch, and warnings for the pod's creator."""

    patch: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[str] = ()


def parse_review(body: bytes) -> tuple[str, PodReview | None]:
    """A review's ID, and its pod if it is about a new one.

    Raises:
        ReviewError: it is not of the form that the API server sends.
    """
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ReviewError("the body is not JSON") from error
    if (
        not isinstance(review, dict)
        or review.get("apiVersion") != API_VERSION
        or review.get("kind") != "AdmissionReview"
    ):
        raise ReviewError(f"an AdmissionReview of {API_VERSION} is expected")
    request = _table(review, "request")
    uid = _text(request, "uid")
    if not uid:
        raise ReviewError("request.uid is missing")
    kind = _table(request, "kind")
    if (
        (kind.get("group", ""), kind.get("version"), kind.get("kind"))
        != ("", "v1", "Pod")
        or request.get("operation") != "CREATE"
        or request.get("subResource")
    ):
        return uid, None
    pod = _table(request, "object")
    namespace = _text(request, "namespace")
    account = _text(_table(pod, "spec"), "serviceAccountName") or "default"
    for name in (namespace, account):
        if not _NAME.fullmatch(name):
            raise ReviewError(
                "the namespace or the service account has an invalid name"
            )
    return uid, PodReview(
        uid=uid, namespace=namespace, service_account=account, pod=pod
    )


def decide(
    review: PodReview, annotations: Mapping[str, str], given: Injection
) -> Verdict:
    """What to add to a pod, by the annotations of its service account and its own.

    Containers that bring credentials of their own stay as they are, so a pod that was
    changed once is not changed again.

    Raises:
        ReviewError: the pod is not of the form that the API server sends.
    """
    prefix = given.annotation_prefix
    role = annotations.get(f"{prefix}/role-arn", "")
    if not role:
        return Verdict()
    if not _ROLE_ARN.fullmatch(role):
        warning = (
            f"{prefix}/role-arn of the service account {review.service_account} is"
            " not the ARN of a role; the pod gets none"
        )
        return Verdict(warnings=[warning])
    own = _annotations(review.pod)
    warnings: list[str] = []
    seconds = _token_seconds(own, annotations, given, warnings)
    variables = {
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{given.mount_path}/{_FILE}",
        "AWS_ENDPOINT_URL_STS": given.sts_endpoint,
    }
    if given.region:
        variables["AWS_REGION"] = variables["AWS_DEFAULT_REGION"] = given.region
    regional = annotations.get(f"{prefix}/sts-regional-endpoints")
    if regional is not None:
        variables["AWS_STS_REGIONAL_ENDPOINTS"] = (
            "legacy" if regional.strip().lower() == "false" else "regional"
        )
    skipped = {
        name.strip() for name in own.get(f"{prefix}/skip-containers", "").split(",")
    }
    changes = [
        change
        for kind in ("initContainers", "containers")
        for number, container in enumerate(_tables(_spec(review), kind))
        if _text(container, "name") not in skipped
        for change in _on_container(
            f"/spec/{kind}/{number}", container, variables, given
        )
    ]
    if not changes:
        return Verdict(warnings=warnings)
    audience = annotations.get(f"{prefix}/audience") or given.audience
    return Verdict([*_on_volumes(_spec(review), audience, seconds), *changes], warnings)


def answer(uid: str, verdict: Verdict) -> Mapping[str, Any]:
    """The review that the API server gets: every pod is allowed, some are changed."""
    response: dict[str, Any] = {"uid": uid, "allowed": True}
    if verdict.patch:
        patch = json.dumps(verdict.patch).encode()
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(patch).decode()
    if verdict.warnings:
        response["warnings"] = [
            one[:_WARNING_CHARACTERS_MAX] for one in verdict.warnings
        ]
    return {
        "apiVersion": API_VERSION,
        "kind": "AdmissionReview",
        "response": response,
    }


def _token_seconds(
    own: Mapping[str, str],
    annotations: Mapping[str, str],
    given: Injection,
    warnings: list[str],
) -> int:
    """How long the token lasts: the pod's annotation takes precedence."""
    name = f"{given.annotation_prefix}/token-expiration"
    text = own.get(name, annotations.get(name))
    if text is None:
        return given.token_seconds
    if text.isascii() and text.isdigit() and len(text) <= len(str(TOKEN_SECONDS_MAX)):
        seconds = int(text)
        if TOKEN_SECONDS_MIN <= seconds <= TOKEN_SECONDS_MAX:
            return seconds
    warnings.append(f"{name} is not a number of seconds from {TOKEN_SECONDS_MIN} on")
    return given.token_seconds


def _on_container(
    path: str,
    container: Mapping[str, Any],
    variables: Mapping[str, str],
    given: Injection,
) -> Iterator[Mapping[str, Any]]:
    present = {_text(one, "name") for one in _tables(container, "env")}
    mounts = _tables(container, "volumeMounts")
    if present & _IDENTITY:
        return
    is_mounted = any(one.get("name") == _VOLUME for one in mounts)
    if not is_mounted and any(
        str(one.get("mountPath", "")).rstrip("/") == given.mount_path for one in mounts
    ):
        return  # a pod with two mounts at one path would be refused
    added = [
        {"name": name, "value": value}
        for name, value in variables.items()
        if name not in present
    ]
    yield from _append(f"{path}/env", added, is_there=bool(present))
    if not is_mounted:
        mount = {"name": _VOLUME, "mountPath": given.mount_path, "readOnly": True}
        yield from _append(f"{path}/volumeMounts", [mount], is_there=bool(mounts))


def _on_volumes(
    spec: Mapping[str, Any], audience: str, seconds: int
) -> Iterator[Mapping[str, Any]]:
    volumes = _tables(spec, "volumes")
    if any(one.get("name") == _VOLUME for one in volumes):
        return
    token = {"audience": audience, "expirationSeconds": seconds, "path": _FILE}
    volume = {
        "name": _VOLUME,
        "projected": {"sources": [{"serviceAccountToken": token}]},
    }
    yield from _append("/spec/volumes", [volume], is_there=bool(volumes))


def _append(
    path: str, items: Sequence[Mapping[str, Any]], *, is_there: bool
) -> Iterator[Mapping[str, Any]]:
    if is_there:
        for item in items:
            yield {"op": "add", "path": f"{path}/-", "value": item}
    else:
        yield {"op": "add", "path": path, "value": list(items)}


def _spec(review: PodReview) -> Mapping[str, Any]:
    return _table(review.pod, "spec")


def _annotations(pod: Mapping[str, Any]) -> Mapping[str, str]:
    found = _table(pod, "metadata").get("annotations") or {}
    if not isinstance(found, dict):
        raise ReviewError("metadata.annotations is not an object")
    return {name: str(value) for name, value in found.items()}


def _table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = parent.get(name)
    if not isinstance(found, dict):
        raise ReviewError(f"{name} is not an object")
    return found


def _tables(parent: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = parent.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ReviewError(f"{name} is not a list of objects")
    return found


def _text(parent: Mapping[str, Any], name: str) -> str:
    found = parent.get(name, "")
    if not isinstance(found, str):
        raise ReviewError(f"{name} is not text")
    return found
