"""AuthZEN's Authorization API 1.0: one more protocol for decisions.

A subject is ``aws`` with an ARN or access key ID, ``user`` or ``role`` with a name. A
resource is ``aws`` with an ARN, or a declared type with a name. Actions may leave out
the service's prefix. Of ``context`` and of the properties of resource and action, the
service's declared condition keys count. What the API does not know how to do it ignores,
as the specification wants; what it cannot read is a 400, among it values that no condition
can compare: objects, null, and arrays in arrays.

Source: OpenID AuthZEN, "Authorization API 1.0", final.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from msgspec.structs import replace
from pydantic import Field, StringConstraints

from broker.actions.action import Action
from broker.actions.decisions.authorize import ANSWERS, QUESTIONS
from broker.actions.decisions.question import (
    ANY_TYPE,
    DECISIONS_MAX,
    Batch,
    DecisionAnswer,
    Question,
)
from broker.edges.asgi import App, Headers, Receive, Scope, Send, respond
from broker.edges.doors import EVALUATION_PATH, EVALUATIONS_PATH, SEARCH_PATHS
from broker.edges.endpoint import (
    JSON,
    Endpoint,
    JsonObject,
    Operation,
    Response,
    read_json,
    read_model,
)
from broker.errors import BrokerError, NoSuchEntity, ProofError
from broker.errors import ValidationError as InvalidQuestion
from broker.model.request import Params, RawRequest
from broker.pipeline import Pipeline, Result
from broker.proofs.scheme import Scheme

_REQUEST_ID_MAX = 256
_REQUEST_ID = b"x-request-id"
_CACHED = (b"cache-control", b"public, max-age=300")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_CHALLENGE = (b"www-authenticate", b"Bearer")
_KEYS_MAX = 100
_OK, _BAD, _UNAUTHORIZED = 200, 400, 401
_SEARCH_IS_GONE: Response = (
    410,
    (_TEXT,),
    (
        b"AuthZEN search was removed: list what you ask about (ListUsers, ListRoles,"
        b" ListResourcePolicies) and send it to /access/v1/evaluations."
    ),
)
_READER = "Reader"
"""Of what is read, the member that knows the places of what could not be read."""

_ACCESS_KEY = re.compile(r"[A-Z0-9]{16,128}")
_UNTIL = {
    "execute_all": None,
    "deny_on_first_deny": False,
    "permit_on_first_permit": True,
}

_TEXT_MAX = 2048
_Text = Annotated[str, StringConstraints(min_length=1, max_length=_TEXT_MAX)]
_Properties = Annotated[dict[str, Any], Field(max_length=_KEYS_MAX)]


class _Named(JsonObject):
    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    id: _Text
    properties: _Properties | None = None


class _Action(JsonObject):
    name: _Text
    properties: _Properties | None = None


class _Evaluation(JsonObject):
    subject: _Named
    action: _Action
    resource: _Named
    context: _Properties | None = None


class _Options(JsonObject):
    evaluations_semantic: Literal[
        "execute_all", "deny_on_first_deny", "permit_on_first_permit"
    ] = "execute_all"


def authzen_endpoint(
    pipeline: Pipeline, authorize: Action, services: Scheme
) -> Endpoint:
    """Answers below ``/access/v1``."""
    operations = {
        path: Operation(authorize, services, partial(_read, is_batch=is_batch), _show)
        for path, is_batch in ((EVALUATION_PATH, False), (EVALUATIONS_PATH, True))
    }

    def find(scope: Scope) -> Operation | Response:
        path: str = scope["path"]
        if path in SEARCH_PATHS:
            return _SEARCH_IS_GONE
        if sum(len(value) for _, value in _request_id(scope)) > _REQUEST_ID_MAX:
            raise InvalidQuestion(
                f"X-Request-ID has more than {_REQUEST_ID_MAX} characters."
            )
        if scope["method"] != "POST":
            raise InvalidQuestion("Requests are sent by POST.")
        if path not in operations:
            raise NoSuchEntity(f"There is no API at {path[:200]}.")
        return operations[path]

    return Endpoint(pipeline, find, _refuse)


def _read(raw: RawRequest, *, is_batch: bool) -> Params:
    reader = _BatchReader(is_batch=is_batch)
    return {QUESTIONS: reader.read(raw), _READER: reader}


def _show(scope: Scope, params: Params, result: Result) -> Response:
    reader: _BatchReader = params[_READER]
    answers: list[DecisionAnswer] = result[ANSWERS]
    described: dict[str, Any] = (
        _describe(answers[0])
        if reader.unreadable is None
        else {"evaluations": reader.describe(answers)}
    )
    return _OK, (JSON, *_request_id(scope)), orjson.dumps(described)


def _refuse(scope: Scope, _given: Params, error: BrokerError) -> Response:
    sent = _request_id(scope)
    if sum(len(value) for _, value in sent) > _REQUEST_ID_MAX:
        sent = ()
    status, headers = error.status, (_TEXT, *sent)
    if isinstance(error, ProofError):
        status, headers = _UNAUTHORIZED, (*headers, _CHALLENGE)
    return status, headers, error.words.encode()


def _request_id(scope: Scope) -> Headers:
    """The header that goes back as it came."""
    return tuple(h for h in scope["headers"] if h[0] == _REQUEST_ID)[:1]


class _BatchReader:
    """Reads evaluations; those that cannot be read are denials in their place."""

    def __init__(self, *, is_batch: bool) -> None:
        self._is_batch = is_batch
        self._until: bool | None = None
        self._names: list[list[str]] = []
        """The resources of each question."""

        self.unreadable: dict[int, str] | None = None
        """By place; None for a single evaluation."""

    def read(self, raw: RawRequest) -> Batch:
        """The questions that can be asked.

        Raises:
            ValidationError: the request is malformed as a whole.
        """
        params = _read_object(raw)
        asked = params.get("evaluations") if self._is_batch else None
        if not asked:
            if asked not in (None, []):
                raise InvalidQuestion("evaluations: must be an array.")
            return Batch(questions=(_question(read_model(_Evaluation, params)),))
        if not isinstance(asked, list) or not all(isinstance(a, dict) for a in asked):
            raise InvalidQuestion("evaluations: must be an array of objects.")
        if len(asked) > DECISIONS_MAX:
            raise InvalidQuestion(f"evaluations: has more than {DECISIONS_MAX}.")
        options = read_model(_Options, params.get("options") or {})
        self._until = _UNTIL[options.evaluations_semantic]
        defaults = {
            name: params[name]
            for name in ("subject", "action", "resource", "context")
            if name in params
        }
        self.unreadable = {}
        questions: list[Question] = []
        before = ""
        for place, entry in enumerate(asked):
            # Evaluations that differ only in their resource are one question.
            kind, name = _plain_resource(entry) if self._until is None else ("", "")
            if kind and kind == before:
                self._names[-1].append(name)
                continue
            before = ""
            try:
                question = _question(read_model(_Evaluation, {**defaults, **entry}))
            except InvalidQuestion as error:
                self.unreadable[place] = error.words
                if self._until is False:
                    break  # the first denial
                continue
            questions.append(question)
            self._names.append(list(question.resources))
            before = kind
        joined = zip(questions, self._names, strict=True)
        return Batch(
            questions=tuple(
                question
                if len(names) == 1
                else replace(question, resources=tuple(names))
                for question, names in joined
            ),
            until=self._until,
        )

    def describe(self, decision_answers: list[DecisionAnswer]) -> list[dict[str, Any]]:
        """The answers with the denials in between, as far as the batch went."""
        results: list[dict[str, Any]] = []
        sizes = map(len, self._names)
        answers = iter(
            [
                entry
                for answer, size in zip(decision_answers, sizes, strict=False)
                for entry in _describe_each(answer, size)
            ]
        )
        while True:
            text = (self.unreadable or {}).get(len(results))
            if text is not None:
                results.append(_denial(_BAD, text))
            elif (answer := next(answers, None)) is not None:
                results.append(answer)
            else:
                return results
            if results[-1]["decision"] is self._until:
                return results


def _plain_resource(entry: dict[str, Any]) -> tuple[str, str]:
    """Type and name, if an evaluation has nothing else; empty if it has."""
    resource = entry.get("resource")
    if len(entry) != 1 or not isinstance(resource, dict) or len(resource) != 2:  # noqa: PLR2004
        return "", ""
    kind, name = resource.get("type"), resource.get("id")
    if not isinstance(kind, str) or not isinstance(name, str):
        return "", ""
    return (kind, name) if 0 < len(name) <= _TEXT_MAX else ("", "")


def _describe_each(answer: DecisionAnswer, size: int) -> list[dict[str, Any]]:
    """The decisions of a question that represents this many evaluations."""
    if answer.refusal is not None:
        return [_describe(answer)] * size
    return [
        {"decision": decision.allowed}
        if decision.refusal is None
        else _denial(decision.refusal.status, decision.refusal.words)
        for decision in answer.decisions
    ]


def _describe(answer: DecisionAnswer) -> dict[str, Any]:
    refusal = answer.refusal
    if refusal is None:
        return {"decision": answer.allowed}
    return _denial(refusal.status, refusal.words)


def _denial(status: int, text: str) -> dict[str, Any]:
    return {
        "decision": False,
        "context": {"error": {"status": status, "message": text}},
    }


def _read_object(raw: RawRequest) -> dict[str, Any]:
    kind = (raw.find_header(b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidQuestion("The Content-Type must be application/json.")
    return read_json(raw.body)


def _question(evaluation: _Evaluation) -> Question:
    return Question(
        is_foreign=True,
        actions=(evaluation.action.name,),
        resource_type=evaluation.resource.type,
        resources=(evaluation.resource.id,),
        context=_context(evaluation.context, evaluation.resource, evaluation.action),
        **_who(evaluation.subject),
    )


def _who(subject: _Named) -> dict[str, Any]:
    if subject.type != ANY_TYPE:
        return {"principal": f"{subject.type}/{subject.id}"}
    if not _ACCESS_KEY.fullmatch(subject.id):
        return {"principal": subject.id}
    token = (subject.properties or {}).get("sessionToken")
    if token is not None and not isinstance(token, str):
        raise InvalidQuestion("subject.properties.sessionToken: must be text.")
    return {"access_key_id": subject.id, "session_token": token}


def _context(
    context: Mapping[str, Any] | None, *parts: _Named | _Action
) -> dict[str, tuple[str, ...]]:
    """Condition keys; a name must not be sent in two places."""
    told: dict[str, tuple[str, ...]] = {}
    for entry in (context, *(part.properties for part in parts)):
        for name, value in (entry or {}).items():
            if name in told:
                raise InvalidQuestion(f"{name[:200]} is sent twice.")
            values = value if isinstance(value, list) else [value]
            told[name] = tuple([_text_of(name, entry) for entry in values])
    return told


def _text_of(name: str, value: object) -> str:
    """A condition key's value.

    Raises:
        ValidationError: no condition can compare it, so that a Deny would be passed
            over.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise InvalidQuestion(
        f"{name[:200]}: must be text, a number, true or false, or an array of these."
    )


def configuration_endpoint(public_origin: str) -> App:
    """Answers ``GET /.well-known/authzen-configuration``."""
    body = orjson.dumps(
        {
            "policy_decision_point": public_origin,
            "access_evaluation_endpoint": public_origin + EVALUATION_PATH,
            "access_evaluations_endpoint": public_origin + EVALUATIONS_PATH,
        }
    )

    async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            await respond(send, 405, ((b"allow", b"GET, HEAD"),))
            return
        await respond(send, _OK, (JSON, _CACHED), body)

    return answer
