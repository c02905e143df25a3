"""Inputs and outputs of SSO OIDC's operations, version 2019-06-10.

Generated from the service model by ``make types``. Do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict


class AwsAdditionalDetails(TypedDict):
    identityContext: NotRequired[str]


class CreateTokenRequest(TypedDict):
    clientId: str
    clientSecret: str
    grantType: str
    deviceCode: NotRequired[str]
    code: NotRequired[str]
    refreshToken: NotRequired[str]
    scope: NotRequired[Sequence[str]]
    redirectUri: NotRequired[str]
    codeVerifier: NotRequired[str]


class CreateTokenResponse(TypedDict):
    accessToken: NotRequired[str]
    tokenType: NotRequired[str]
    expiresIn: NotRequired[int]
    refreshToken: NotRequired[str]
    idToken: NotRequired[str]


class CreateTokenWithIAMRequest(TypedDict):
    clientId: str
    grantType: str
    code: NotRequired[str]
    refreshToken: NotRequired[str]
    assertion: NotRequired[str]
    scope: NotRequired[Sequence[str]]
    redirectUri: NotRequired[str]
    subjectToken: NotRequired[str]
    subjectTokenType: NotRequired[str]
    requestedTokenType: NotRequired[str]
    codeVerifier: NotRequired[str]


class CreateTokenWithIAMResponse(TypedDict):
    accessToken: NotRequired[str]
    tokenType: NotRequired[str]
    expiresIn: NotRequired[int]
    refreshToken: NotRequired[str]
    idToken: NotRequired[str]
    issuedTokenType: NotRequired[str]
    scope: NotRequired[Sequence[str]]
    awsAdditionalDetails: NotRequired[AwsAdditionalDetails]


class RegisterClientRequest(TypedDict):
    clientName: str
    clientType: str
    scopes: NotRequired[Sequence[str]]
    redirectUris: NotRequired[Sequence[str]]
    grantTypes: NotRequired[Sequence[str]]
    issuerUrl: NotRequired[str]
    entitledApplicationArn: NotRequired[str]


class RegisterClientResponse(TypedDict):
    clientId: NotRequired[str]
    clientSecret: NotRequired[str]
    clientIdIssuedAt: NotRequired[int]
    clientSecretExpiresAt: NotRequired[int]
    authorizationEndpoint: NotRequired[str]
    tokenEndpoint: NotRequired[str]


class StartDeviceAuthorizationRequest(TypedDict):
    clientId: str
    clientSecret: str
    startUrl: str


class StartDeviceAuthorizationResponse(TypedDict):
    deviceCode: NotRequired[str]
    userCode: NotRequired[str]
    verificationUri: NotRequired[str]
    verificationUriComplete: NotRequired[str]
    expiresIn: NotRequired[int]
    interval: NotRequired[int]
