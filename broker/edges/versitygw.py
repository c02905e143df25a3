"""versitygw's private IAM protocol, version 1, below ``/private``.

The gateway verifies its clients' signatures with keys derived here, and combines our
decisions with its bucket policies. It is answered only over a unix socket of the machine
or over TLS. Each answer names the protocol's version: one without it, from whatever
stands in between, counts as no answer.

Source: versity/versitygw, ``iamapi/private`` and ``auth/iam_standalone.go``.
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from broker import errors
from broker.actions.decisions.authorize import ANSWERS, QUESTIONS
from broker.actions.decisions.gateway import (
    GATEWAY_SERVICE,
    NAMES_MAX,
    KnownKey,
    Scope,
)
from broker.actions.decisions.question import Batch, DecisionAnswer, Question
from broker.actions.registry import Registry
from broker.edges import endpoint
from broker.edges.asgi import Scope as AsgiScope
from broker.edges.asgi import is_private
from broker.edges.doors import PRIVATE_HEADERS
from broker.errors import ValidationError as InvalidQuestion
from broker.model.request import Params, RawRequest
from broker.pipeline import Pipeline, Result
from broker.proofs.scheme import Scheme

_VERSION = 1
((_HEADER, _),) = PRIVATE_HEADERS
_NUMBER = re.compile(rb"[0-9]{1,4}")
_RESOURCES_CHARACTERS_MAX = 1_000 * (len("arn:aws:s3:::/") + 63 + 1_024)
"""Of S3's largest deletion: a thousand keys of 1,024 bytes, with their bucket."""

_BODY_BYTES_MAX = 6 * _RESOURCES_CHARACTERS_MAX + 100_000
"""JSON may write a character in six bytes (Go's does so with ``&``)."""

_DECISIONS_MAX = 2000
"""A deletion of a thousand objects asks for two actions on each."""

_OK = 200


_Text = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
_KeyId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_Token = Annotated[str, StringConstraints(max_length=8192)]
_Word = Annotated[str, StringConstraints(max_length=64)]

_Describe = Callable[[Result, Any], Mapping[str, Any]]

_ASKED = "Asked"
"""Of what is read, the member that is the body."""

_VERSION_PATH = "/private/version"


class _Camel(endpoint.JsonObject):
    model_config = ConfigDict(alias_generator=to_camel)


class _Nothing(endpoint.JsonObject):
    pass


class _Derive(_Camel):
    access_key_id: _KeyId
    session_token: _Token = ""
    date: _Word
    region: _Word
    service: _Word


class _Evaluate(_Camel):
    access_key_id: _KeyId
    session_token: _Token = ""
    actions: Annotated[list[_Text], Field(min_length=1, max_length=100)]
    resources: Annotated[list[_Text], Field(min_length=1, max_length=_DECISIONS_MAX)]
    condition: Annotated[dict[str, list[str]], Field(max_length=100)] | None = None


class _Keys(_Camel):
    access_key_ids: Annotated[list[_Text], Field(max_length=NAMES_MAX)]


class _Principals(endpoint.JsonObject):
    principals: Annotated[list[str], Field(max_length=NAMES_MAX)]


def gateway_endpoint(
    pipeline: Pipeline, registry: Registry, scheme: Scheme
) -> endpoint.Endpoint:
    """Answers a gateway, below ``/private``."""
    operations = {
        path: endpoint.Operation(
            registry.get("broker", action),
            scheme,
            partial(_read, body, want),
            partial(_show, describe),
            body_bytes_max=_BODY_BYTES_MAX,
        )
        for path, (action, body, want, describe) in _OPERATIONS.items()
    }

    def find(scope: AsgiScope) -> endpoint.Operation:
        if not (is_private(scope) or scope["state"]["secure"]):
            raise errors.AccessDenied(
                "This protocol is available only over the private socket or TLS."
            )
        path: str = scope["path"]
        if path not in operations or scope["method"] != "POST":
            raise errors.NoSuchEntity("There is no such operation.")
        if path != _VERSION_PATH:
            _check_version(scope["headers"])
        return operations[path]

    return endpoint.Endpoint(pipeline, find, _refuse)


def _read(
    body: type[endpoint.JsonObject], want: Callable[[Any], Params], raw: RawRequest
) -> Params:
    asked = endpoint.read_model(body, endpoint.read_json(raw.body))
    return {**want(asked), _ASKED: asked}


def _show(
    describe: _Describe, _: AsgiScope, params: Params, result: Result
) -> endpoint.Response:
    return _OK, (endpoint.JSON,), orjson.dumps(describe(result, params[_ASKED]))


def _refuse(
    scope: AsgiScope, params: Params, error: errors.BrokerError
) -> endpoint.Response:
    asked = params.get(_ASKED)  # else it is about the gateway's own key
    is_of_key = isinstance(error, errors.InvalidClientTokenId | errors.ExpiredToken)
    if is_of_key and isinstance(asked, _Derive | _Evaluate):
        error = _refused_key(asked)
        scope["state"]["line"]["error_code"] = error.code
    code = _code(error)
    named = {"code": code} if code else {}
    return error.status, (endpoint.JSON,), orjson.dumps({"error": error.words, **named})


class _NoSuchIdentity(errors.AccessDenied):
    """There is no such access key."""


class _InvalidToken(errors.AccessDenied):
    """The session token is wrong or of another access key."""


class _ProtocolMismatch(InvalidQuestion):
    """The gateway speaks no version that is spoken here."""


def _check_version(headers: Iterable[tuple[bytes, bytes]]) -> None:
    named = [value for name, value in headers if name == _HEADER]
    if len(named) != 1 or not _NUMBER.fullmatch(named[0]) or int(named[0]) < _VERSION:
        raise _ProtocolMismatch(
            f"This broker supports version {_VERSION} of the private protocol, which the"
            " request must name."
        )


def _code(error: errors.BrokerError) -> str:
    """What the gateway tells its clients by; empty for a fault of the gateway's own."""
    if isinstance(error, _NoSuchIdentity):
        return "NoSuchIdentity"
    if isinstance(error, _InvalidToken):
        return "InvalidToken"
    if isinstance(error, _ProtocolMismatch):
        return "ProtocolMismatch"
    return "BadRequest" if isinstance(error, InvalidQuestion) else ""


def _refused_key(asked: _Derive | _Evaluate) -> errors.AccessDenied:
    """Of the access key and its token, the one that is wrong.

    A session's key without its token is no identity, as in the gateway's own IAM.
    """
    if asked.session_token:
        return _InvalidToken("The session token is invalid, or for another access key.")
    return _NoSuchIdentity("There is no identity with this access key.")


def _describe_version(result: Result, _: _Nothing) -> Mapping[str, Any]:
    return {
        "protocol": _VERSION,
        "minClient": _VERSION,
        "serverVersion": version("federation-broker"),
        "accountId": result["Account"],
    }


def _key_wanted(asked: _Derive) -> Params:
    return {
        "AccessKeyId": asked.access_key_id,
        "SessionToken": asked.session_token or None,
        "Scope": Scope(date=asked.date, region=asked.region, service=asked.service),
    }


def _describe_key(result: Result, _: _Derive) -> Mapping[str, Any]:
    described = {
        "derivedKey": base64.b64encode(result["Key"]).decode("ascii"),
        "principalArn": result["PrincipalArn"],
    }
    if result["RoleArn"]:
        described["roleArn"] = result["RoleArn"]
    return described


def _decisions_wanted(asked: _Evaluate) -> Params:
    if sum(map(len, asked.resources)) > _RESOURCES_CHARACTERS_MAX:
        raise errors.RequestEntityTooLarge(
            f"The resources are longer than {_RESOURCES_CHARACTERS_MAX} characters."
        )
    condition = asked.condition or {}
    question = Question(
        service=GATEWAY_SERVICE,
        access_key_id=asked.access_key_id,
        session_token=asked.session_token or None,
        actions=tuple(asked.actions),
        resources=tuple(asked.resources),
        context={key: tuple(values) for key, values in condition.items()},
        is_foreign=True,
        is_split=True,
    )
    return {QUESTIONS: Batch(questions=(question,), decisions_max=_DECISIONS_MAX)}


def _describe_decisions(result: Result, asked: _Evaluate) -> Mapping[str, Any]:
    answers: list[DecisionAnswer] = result[ANSWERS]
    (answer,) = answers
    if answer.refusal is not None or answer.caller is None:
        raise answer.refusal or errors.InternalFailure
    by_action = [
        answer.decisions[at : at + len(asked.resources)]
        for at in range(0, len(answer.decisions), len(asked.resources))
    ]
    verdicts = [
        [entry.verdict for entry in row] for row in zip(*by_action, strict=True)
    ]
    described: dict[str, Any] = {
        "decisions": [[verdict.own for verdict in row] for row in verdicts],
        "principalArn": answer.caller.principal.arn,
    }
    if answer.caller.session is not None and any(
        verdict.session is not None for row in verdicts for verdict in row
    ):
        described["hasSessionPolicy"] = True
        described["sessionDecisions"] = [
            [verdict.session or "deny" for verdict in row] for row in verdicts
        ]
    return described


def _describe_keys(result: Result, _: _Keys) -> Mapping[str, Any]:
    keys: list[KnownKey] = result["Keys"]
    return {
        "identities": [
            {
                "found": True,
                "kind": "session" if key.is_session else "user",
                "principalArn": key.principal_arn,
            }
            if key.principal_arn
            else {"found": False}
            for key in keys
        ]
    }


_OPERATIONS: Mapping[
    str, tuple[str, type[endpoint.JsonObject], Callable[[Any], Params], _Describe]
] = {
    _VERSION_PATH: ("GetGatewayProtocol", _Nothing, lambda _: {}, _describe_version),
    "/private/derive-signing-key": (
        "DeriveSigningKey",
        _Derive,
        _key_wanted,
        _describe_key,
    ),
    "/private/evaluate-policy": (
        "Authorize",
        _Evaluate,
        _decisions_wanted,
        _describe_decisions,
    ),
    "/private/resolve-identity": (
        "ResolveAccessKeys",
        _Keys,
        lambda asked: {"AccessKeyIds": asked.access_key_ids},
        _describe_keys,
    ),
    "/private/resolve-principals": (
        "ResolvePrincipals",
        _Principals,
        lambda asked: {"Principals": asked.principals},
        lambda result, _: {"invalid": result["Invalid"]},
    ),
}
"""By path: the action that it means, its body, and the way there and back."""
