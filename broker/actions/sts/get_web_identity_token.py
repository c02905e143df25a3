"""``GetWebIdentityToken``: a signed token that proves the caller to third parties.

Source: botocore's STS model; recorded tokens (REC-S outbound_issuance).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from broker.actions.action import Action, Call
from broker.actions.sts.callers import refuse_user_sessions
from broker.actions.sts.own_tokens import LINEAGE_CLAIM, OwnTokens
from broker.actions.sts.regions import require_regional
from broker.errors import (
    InvalidParameterValue,
    JwtPayloadSizeExceeded,
    OutboundFederationDisabled,
    ServiceUnavailable,
    SessionDurationEscalation,
    ValidationError,
)
from broker.kinds.outbound import Algorithm, find_outbound, issuer_of, sign
from broker.model.sealing import Opener
from broker.permit.context import tag_context
from broker.permit.need import Need
from broker.runtime.entropy import new_request_id
from broker.sessions.vault import SealBrokenError
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.readings import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import sts as types

_NAME = "GetWebIdentityToken"
_DEFAULT_SECONDS = 300
_AWS_CLAIM = "https://sts.amazonaws.com/"
PAYLOAD_BYTES_MAX = 8192


def get_web_identity_token(
    fresh: FreshDirectory, opener: Opener, own: OwnTokens, public_origin: str
) -> Action:
    """The action, given what it works with."""

    async def handle(
        params: types.GetWebIdentityTokenRequest, call: Call
    ) -> types.GetWebIdentityTokenResponse:
        account = await fresh.find(ACCOUNT, call.account)
        outbound = None if account is None else find_outbound(account)
        if outbound is None or not outbound.enabled:
            raise OutboundFederationDisabled(
                "OutboundWebIdentityFederation is disabled."
            )
        ends = _ends(params, call)
        claims = _claims(
            params, call, issuer=issuer_of(public_origin, call.account), ends=ends
        )
        claims[LINEAGE_CLAIM] = own.seal(call, str(claims["jti"]))
        if len(json.dumps(claims)) > PAYLOAD_BYTES_MAX:
            raise JwtPayloadSizeExceeded(
                "The requested token payload size exceeds the maximum allowed size."
            )
        key = outbound.find_signing(Algorithm(params["SigningAlgorithm"]), call.now)
        if key is None:
            raise ServiceUnavailable(detail="no key signs yet")
        try:
            token = sign(call.account, key, opener, claims)
        except SealBrokenError as error:
            raise ServiceUnavailable(detail=str(error)) from error
        return {"WebIdentityToken": token, "Expiration": ends}

    return Action(
        service="sts",
        name=_NAME,
        needs=_needs,
        handle=handle,
        audited=(
            "Audience",
            "SigningAlgorithm",
            "DurationSeconds",
            "SubjectMode",
            "Tags",
        ),
    )


async def _needs(
    params: types.GetWebIdentityTokenRequest, call: Call
) -> tuple[Need, ...]:
    require_regional(call, _NAME)
    refuse_user_sessions(call, _NAME)
    _check(params)
    tags = _tags(params)
    context: dict[str, tuple[str, ...]] = {
        "sts:identitytokenaudience": tuple(params["Audience"]),
        "sts:signingalgorithm": (params["SigningAlgorithm"],),
        "sts:durationseconds": (str(params.get("DurationSeconds", _DEFAULT_SECONDS)),),
        "sts:subjectmode": (params.get("SubjectMode", "AWSIdentity"),),
    }
    actions = [f"sts:{_NAME}"]
    if tags:
        context.update(tag_context("aws:requesttag", tags))
        context["aws:tagkeys"] = tuple(tags)
        actions.append(f"sts:Tag{_NAME}")
    return tuple(
        Need(action=action, resource="*", account=call.account, context=context)
        for action in actions
    )


def _check(params: types.GetWebIdentityTokenRequest) -> None:
    """Rules that the model does not hold.

    Raises:
        ValidationError: an algorithm that is not offered, or a subject or scope that
            no session here can have.
    """
    if params["SigningAlgorithm"] not in Algorithm.__members__:
        raise ValidationError(
            "Requested SigningAlgorithm is not supported. See the GetWebIdentityToken documentation for supported algorithms"
        )
    if params.get("SubjectMode") == "OriginIdentity":
        raise ValidationError(
            "The calling session has no aws:OriginIdentity/Subject in its trusted"
            " identity propagation context."
        )
    if "Scope" in params:
        raise ValidationError(
            "Scope can be specified only when SubjectMode is OriginIdentity."
        )


def _tags(params: types.GetWebIdentityTokenRequest) -> dict[str, str]:
    """The request's tags; keys that begin with ``aws:`` are accepted, as recorded.

    Raises:
        InvalidParameterValue: a key comes twice.
    """
    tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())}
    if len({key.lower() for key in tags}) < len(params.get("Tags", ())):
        raise InvalidParameterValue(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    return tags


def _ends(params: types.GetWebIdentityTokenRequest, call: Call) -> datetime:
    seconds = params.get("DurationSeconds")
    ends = call.now + timedelta(seconds=seconds or _DEFAULT_SECONDS)
    session = call.caller.session
    if session is None or ends.timestamp() <= session.expires_at:
        return ends
    if seconds is not None:
        raise SessionDurationEscalation(
            "The requested token duration would extend the session beyond its original expiration time."
        )
    return datetime.fromtimestamp(session.expires_at, UTC)


def _claims(
    params: types.GetWebIdentityTokenRequest, call: Call, *, issuer: str, ends: datetime
) -> dict[str, object]:
    caller = call.caller
    audience = params["Audience"]
    about: dict[str, object] = {
        "aws_account": call.account,
        "source_region": call.region,
        "principal_id": caller.principal.principal_arn,
    }
    session = caller.session
    if session is not None:
        ended = datetime.fromtimestamp(session.expires_at, UTC)
        about["original_session_exp"] = ended.strftime("%Y-%m-%dT%H:%M:%SZ")
        if session.provider_arn:
            about["federated_provider"] = session.provider_arn
        if session.source_identity:
            about["source_identity"] = session.source_identity
    if caller.principal_tags:
        about["principal_tags"] = dict(caller.principal_tags)
    tags = _tags(params)
    if tags:
        about["request_tags"] = tags
    return {
        "iss": issuer,
        "sub": caller.principal.principal_arn,
        "aud": audience[0] if len(audience) == 1 else list(audience),
        "iat": int(call.now.timestamp()),
        "exp": int(ends.timestamp()),
        "jti": new_request_id(),
        _AWS_CLAIM: about,
    }
