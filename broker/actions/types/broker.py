"""Inputs and outputs of BROKER's operations, version 2026-11-27.

Generated from the service model by ``make types``. Do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict


class AssociateInstanceProfileRequest(TypedDict):
    InstanceId: str
    InstanceProfileName: str


class AssociateInstanceProfileResponse(TypedDict):
    Instance: Instance


class CreateJoinTokenRequest(TypedDict):
    InstanceProfileName: str
    DurationSeconds: NotRequired[int]
    Addresses: NotRequired[Sequence[str]]


class CreateJoinTokenResponse(TypedDict):
    JoinToken: JoinToken
    Token: str


class CreateScimTokenRequest(TypedDict):
    ProviderArn: str
    Days: NotRequired[int]
    Addresses: NotRequired[Sequence[str]]


class CreateScimTokenResponse(TypedDict):
    ScimToken: ScimToken
    Token: str


class CreateServiceTokenRequest(TypedDict):
    ServiceName: str
    Days: NotRequired[int]
    Addresses: NotRequired[Sequence[str]]


class CreateServiceTokenResponse(TypedDict):
    ServiceToken: ServiceToken
    Token: str


class Credentials(TypedDict):
    AccessKeyId: str
    SecretAccessKey: str
    SessionToken: str
    Expiration: datetime


class DeleteJoinTokenRequest(TypedDict):
    TokenId: str


class DeleteResourcePolicyRequest(TypedDict):
    ResourceArn: str


class DeleteScimTokenRequest(TypedDict):
    ProviderArn: str
    TokenId: str


class DeleteServiceRequest(TypedDict):
    ServiceName: str


class DeleteServiceTokenRequest(TypedDict):
    ServiceName: str
    TokenId: str


class DisassociateInstanceProfileRequest(TypedDict):
    InstanceId: str


class DisassociateInstanceProfileResponse(TypedDict):
    Instance: Instance


class EndInstanceRequest(TypedDict):
    InstanceId: str


class GetInstanceAssociationRequest(TypedDict):
    InstanceArn: str
    InstanceProof: str


class GetInstanceAssociationResponse(TypedDict):
    InstanceAssociation: InstanceAssociation


class GetInstanceCredentialsRequest(TypedDict):
    InstanceArn: str
    InstanceProof: str
    RoleDelivery: NotRequired[str]
    DurationSeconds: NotRequired[int]


class GetInstanceCredentialsResponse(TypedDict):
    Credentials: Credentials
    InstanceAssociation: InstanceAssociation


class GetInstanceRequest(TypedDict):
    InstanceId: str


class GetInstanceResponse(TypedDict):
    Instance: Instance


class GetResourcePolicyRequest(TypedDict):
    ResourceArn: str


class GetResourcePolicyResponse(TypedDict):
    ResourcePolicy: ResourcePolicy


class GetServiceRequest(TypedDict):
    ServiceName: str


class GetServiceResponse(TypedDict):
    Service: Service


class Instance(TypedDict):
    InstanceId: str
    Arn: str
    RegisterDate: datetime
    RegisteredBy: NotRequired[str]
    InstanceProfileArn: NotRequired[str]
    InstanceProfileId: NotRequired[str]
    LastUsedDate: NotRequired[datetime]


class InstanceAssociation(TypedDict):
    InstanceId: str
    InstanceArn: str
    AssociationId: str
    InstanceProfileArn: NotRequired[str]
    InstanceProfileId: NotRequired[str]
    RoleName: NotRequired[str]
    RoleArn: NotRequired[str]
    PollSeconds: int


class JoinToken(TypedDict):
    TokenId: str
    Arn: NotRequired[str]
    InstanceProfileId: str
    InstanceProfileArn: NotRequired[str]
    CreateDate: datetime
    ExpirationDate: datetime
    CreatedBy: NotRequired[str]
    Addresses: NotRequired[Sequence[str]]
    InstanceId: NotRequired[str]


class LDAPProvider(TypedDict):
    Arn: str
    Name: str
    ProviderId: str
    Directory: str
    Options: str
    CreateDate: datetime
    AcceptedDate: NotRequired[datetime]
    RefusedDate: NotRequired[datetime]


class ListInstancesRequest(TypedDict):
    InstanceProfileName: NotRequired[str]
    Marker: NotRequired[str]
    MaxItems: NotRequired[int]


class ListInstancesResponse(TypedDict):
    Instances: Sequence[Instance]
    IsTruncated: NotRequired[bool]
    Marker: NotRequired[str]


class ListJoinTokensRequest(TypedDict):
    Marker: NotRequired[str]
    MaxItems: NotRequired[int]


class ListJoinTokensResponse(TypedDict):
    JoinTokens: Sequence[JoinToken]
    IsTruncated: NotRequired[bool]
    Marker: NotRequired[str]


class ListLDAPProvidersRequest(TypedDict):
    pass


class ListLDAPProvidersResponse(TypedDict):
    LDAPProviders: Sequence[LDAPProvider]


class ListResourcePoliciesRequest(TypedDict):
    Marker: NotRequired[str]
    MaxItems: NotRequired[int]


class ListResourcePoliciesResponse(TypedDict):
    ResourcePolicies: Sequence[ResourcePolicy]
    IsTruncated: NotRequired[bool]
    Marker: NotRequired[str]


class ListScimTokensRequest(TypedDict):
    ProviderArn: str


class ListScimTokensResponse(TypedDict):
    ScimTokens: Sequence[ScimToken]


class ListScimUsersRequest(TypedDict):
    ProviderArn: str
    UserName: NotRequired[str]
    Active: NotRequired[bool]
    Marker: NotRequired[str]
    MaxItems: NotRequired[int]


class ListScimUsersResponse(TypedDict):
    ScimUsers: Sequence[ScimUser]
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


class ListUpstreamsRequest(TypedDict):
    pass


class ListUpstreamsResponse(TypedDict):
    Upstreams: Sequence[Upstream]


class PutResourcePolicyRequest(TypedDict):
    ResourceArn: str
    PolicyDocument: str


class PutServiceRequest(TypedDict):
    ServiceName: str
    Definition: str


class PutServiceResponse(TypedDict):
    Service: Service


class RegisterInstanceRequest(TypedDict):
    Region: NotRequired[str]
    JoinToken: str
    PublicKey: str


class RegisterInstanceResponse(TypedDict):
    InstanceAssociation: InstanceAssociation


class RegisterInstanceWithWebIdentityRequest(TypedDict):
    Region: NotRequired[str]
    InstanceProfileArn: str
    WebIdentityToken: str
    PublicKey: str


class RegisterInstanceWithWebIdentityResponse(TypedDict):
    InstanceAssociation: InstanceAssociation


class ResourcePolicy(TypedDict):
    ResourceArn: str
    PolicyDocument: NotRequired[str]
    CreateDate: datetime
    UpdateDate: datetime


class ScimToken(TypedDict):
    TokenId: str
    CreateDate: datetime
    ExpirationDate: datetime
    Addresses: NotRequired[Sequence[str]]


class ScimUser(TypedDict):
    UserId: str
    UserName: str
    ExternalId: NotRequired[str]
    Active: bool
    Groups: NotRequired[Sequence[str]]
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


class Upstream(TypedDict):
    Name: str
    Definition: str
    AccessKeyId: NotRequired[str]
    CreateDate: datetime
    UpdateDate: datetime
