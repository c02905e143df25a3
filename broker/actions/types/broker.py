"""Inputs and outputs of BROKER's operations, version 2026-11-27.

Generated from the service model by ``make types``. Do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict


class CreateServiceTokenRequest(TypedDict):
    ServiceName: str
    Days: NotRequired[int]
    Addresses: NotRequired[Sequence[str]]


class CreateServiceTokenResponse(TypedDict):
    ServiceToken: ServiceToken
    Token: str


class DeleteResourcePolicyRequest(TypedDict):
    ResourceArn: str


class DeleteServiceRequest(TypedDict):
    ServiceName: str


class DeleteServiceTokenRequest(TypedDict):
    ServiceName: str
    TokenId: str


class GetResourcePolicyRequest(TypedDict):
    ResourceArn: str


class GetResourcePolicyResponse(TypedDict):
    ResourcePolicy: ResourcePolicy


class GetServiceRequest(TypedDict):
    ServiceName: str


class GetServiceResponse(TypedDict):
    Service: Service


class ListResourcePoliciesRequest(TypedDict):
    Marker: NotRequired[str]
    MaxItems: NotRequired[int]


class ListResourcePoliciesResponse(TypedDict):
    ResourcePolicies: Sequence[ResourcePolicy]
    IsTruncated: NotRequired[bool]
    Marker: NotRequired[str]


class ListServiceTokensRequest(TypedDict):
    ServiceName: str


class ListServiceTokensResponse(TypedDict):
    ServiceTokens: Sequence[ServiceToken]


class ListServicesRequest(TypedDict):
    pass


class ListServicesResponse(TypedDict):
    Services: Sequence[Service]


class PutResourcePolicyRequest(TypedDict):
    ResourceArn: str
    PolicyDocument: str


class PutServiceRequest(TypedDict):
    ServiceName: str
    Definition: str


class PutServiceResponse(TypedDict):
    Service: Service


class ResourcePolicy(TypedDict):
    ResourceArn: str
    PolicyDocument: NotRequired[str]
    CreateDate: datetime
    UpdateDate: datetime


class Service(TypedDict):
    Name: str
    Arn: str
    Definition: NotRequired[str]
    CreateDate: datetime
    UpdateDate: datetime


class ServiceToken(TypedDict):
    TokenId: str
    CreateDate: datetime
    ExpirationDate: datetime
    Addresses: NotRequired[Sequence[str]]
