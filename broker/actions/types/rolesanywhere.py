"""Inputs and outputs of ROLESANYWHERE's operations, version 2018-05-10.

Generated from the service model by ``make types``. Do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict


class AssumedRoleUser(TypedDict):
    arn: NotRequired[str]
    assumedRoleId: NotRequired[str]


class AttributeMapping(TypedDict):
    certificateField: NotRequired[str]
    mappingRules: NotRequired[Sequence[MappingRule]]


class CreateProfileRequest(TypedDict):
    name: str
    requireInstanceProperties: NotRequired[bool]
    sessionPolicy: NotRequired[str]
    roleArns: Sequence[str]
    managedPolicyArns: NotRequired[Sequence[str]]
    durationSeconds: NotRequired[int]
    enabled: NotRequired[bool]
    tags: NotRequired[Sequence[Tag]]
    acceptRoleSessionName: NotRequired[bool]
    aliasName: NotRequired[str]
    tipConfiguration: NotRequired[TipConfiguration]


class CreateSessionRequest(TypedDict):
    cert: NotRequired[str]
    durationSeconds: NotRequired[int]
    instanceProperties: NotRequired[Mapping[str, str]]
    profileArn: NotRequired[str]
    profileArnInQuery: NotRequired[str]
    roleArn: NotRequired[str]
    roleArnInQuery: NotRequired[str]
    roleSessionName: NotRequired[str]
    trustAnchorArn: NotRequired[str]
    trustAnchorArnInQuery: NotRequired[str]


class CreateSessionResponse(TypedDict):
    credentialSet: NotRequired[Sequence[CredentialResponse]]
    subjectArn: NotRequired[str]


class CreateTrustAnchorRequest(TypedDict):
    name: str
    source: Source
    enabled: NotRequired[bool]
    crlDpRevocationEnabled: NotRequired[bool]
    tags: NotRequired[Sequence[Tag]]
    notificationSettings: NotRequired[Sequence[NotificationSetting]]
    aliasName: NotRequired[str]


class CredentialResponse(TypedDict):
    assumedRoleUser: NotRequired[AssumedRoleUser]
    credentials: NotRequired[Credentials]
    packedPolicySize: NotRequired[int]
    roleArn: NotRequired[str]
    sourceIdentity: NotRequired[str]


class CredentialSummary(TypedDict):
    seenAt: NotRequired[datetime]
    serialNumber: NotRequired[str]
    issuer: NotRequired[str]
    enabled: NotRequired[bool]
    x509CertificateData: NotRequired[str]
    failed: NotRequired[bool]


class Credentials(TypedDict):
    accessKeyId: NotRequired[str]
    expiration: NotRequired[datetime]
    secretAccessKey: NotRequired[str]
    sessionToken: NotRequired[str]


class CrlDetail(TypedDict):
    crlId: NotRequired[str]
    crlArn: NotRequired[str]
    name: NotRequired[str]
    enabled: NotRequired[bool]
    crlData: NotRequired[bytes]
    trustAnchorArn: NotRequired[str]
    createdAt: NotRequired[datetime]
    updatedAt: NotRequired[datetime]
    aliasName: NotRequired[str]
    aliasArn: NotRequired[str]
    previousAliasName: NotRequired[str]


class CrlDetailResponse(TypedDict):
    crl: CrlDetail


class DeleteAttributeMappingRequest(TypedDict):
    profileId: str
    certificateField: str
    specifiers: NotRequired[Sequence[str]]


class DeleteAttributeMappingResponse(TypedDict):
    profile: ProfileDetail


class ImportCrlRequest(TypedDict):
    name: str
    crlData: bytes
    enabled: NotRequired[bool]
    tags: NotRequired[Sequence[Tag]]
    trustAnchorArn: str
    aliasName: NotRequired[str]


class InstanceProperty(TypedDict):
    seenAt: NotRequired[datetime]
    properties: NotRequired[Mapping[str, str]]
    failed: NotRequired[bool]


class ListCrlsResponse(TypedDict):
    nextToken: NotRequired[str]
    crls: NotRequired[Sequence[CrlDetail]]


class ListProfilesResponse(TypedDict):
    nextToken: NotRequired[str]
    profiles: NotRequired[Sequence[ProfileDetail]]


class ListRequest(TypedDict):
    nextToken: NotRequired[str]
    pageSize: NotRequired[int]


class ListSubjectsResponse(TypedDict):
    subjects: NotRequired[Sequence[SubjectSummary]]
    nextToken: NotRequired[str]


class ListTagsForResourceRequest(TypedDict):
    resourceArn: str


class ListTagsForResourceResponse(TypedDict):
    tags: NotRequired[Sequence[Tag]]


class ListTrustAnchorsResponse(TypedDict):
    nextToken: NotRequired[str]
    trustAnchors: NotRequired[Sequence[TrustAnchorDetail]]


class MappingRule(TypedDict):
    specifier: str


class NotificationSetting(TypedDict):
    enabled: bool
    event: str
    threshold: NotRequired[int]
    channel: NotRequired[str]


class NotificationSettingDetail(TypedDict):
    enabled: bool
    event: str
    threshold: NotRequired[int]
    channel: NotRequired[str]
    configuredBy: NotRequired[str]


class NotificationSettingKey(TypedDict):
    event: str
    channel: NotRequired[str]


class ProfileDetail(TypedDict):
    profileId: NotRequired[str]
    profileArn: NotRequired[str]
    name: NotRequired[str]
    requireInstanceProperties: NotRequired[bool]
    enabled: NotRequired[bool]
    createdBy: NotRequired[str]
    sessionPolicy: NotRequired[str]
    roleArns: NotRequired[Sequence[str]]
    managedPolicyArns: NotRequired[Sequence[str]]
    createdAt: NotRequired[datetime]
    updatedAt: NotRequired[datetime]
    durationSeconds: NotRequired[int]
    acceptRoleSessionName: NotRequired[bool]
    attributeMappings: NotRequired[Sequence[AttributeMapping]]
    aliasName: NotRequired[str]
    aliasArn: NotRequired[str]
    tipConfiguration: NotRequired[TipConfiguration]
    previousAliasName: NotRequired[str]


class ProfileDetailResponse(TypedDict):
    profile: NotRequired[ProfileDetail]


class PutAttributeMappingRequest(TypedDict):
    profileId: str
    certificateField: str
    mappingRules: Sequence[MappingRule]


class PutAttributeMappingResponse(TypedDict):
    profile: ProfileDetail


class PutNotificationSettingsRequest(TypedDict):
    trustAnchorId: str
    notificationSettings: Sequence[NotificationSetting]


class PutNotificationSettingsResponse(TypedDict):
    trustAnchor: TrustAnchorDetail


class ResetNotificationSettingsRequest(TypedDict):
    trustAnchorId: str
    notificationSettingKeys: Sequence[NotificationSettingKey]


class ResetNotificationSettingsResponse(TypedDict):
    trustAnchor: TrustAnchorDetail


class ScalarCrlRequest(TypedDict):
    crlId: str


class ScalarProfileRequest(TypedDict):
    profileId: str


class ScalarSubjectRequest(TypedDict):
    subjectId: str


class ScalarTrustAnchorRequest(TypedDict):
    trustAnchorId: str


class Source(TypedDict):
    sourceType: NotRequired[str]
    sourceData: NotRequired[SourceData]


class SourceData(TypedDict):
    x509CertificateData: NotRequired[str]
    acmPcaArn: NotRequired[str]


class SubjectDetail(TypedDict):
    subjectArn: NotRequired[str]
    subjectId: NotRequired[str]
    enabled: NotRequired[bool]
    x509Subject: NotRequired[str]
    lastSeenAt: NotRequired[datetime]
    createdAt: NotRequired[datetime]
    updatedAt: NotRequired[datetime]
    credentials: NotRequired[Sequence[CredentialSummary]]
    instanceProperties: NotRequired[Sequence[InstanceProperty]]


class SubjectDetailResponse(TypedDict):
    subject: NotRequired[SubjectDetail]


class SubjectSummary(TypedDict):
    subjectArn: NotRequired[str]
    subjectId: NotRequired[str]
    enabled: NotRequired[bool]
    x509Subject: NotRequired[str]
    lastSeenAt: NotRequired[datetime]
    createdAt: NotRequired[datetime]
    updatedAt: NotRequired[datetime]


class Tag(TypedDict):
    key: str
    value: str


class TagResourceRequest(TypedDict):
    resourceArn: str
    tags: Sequence[Tag]


class TagResourceResponse(TypedDict):
    pass


class TipConfiguration(TypedDict):
    status: str
    subjectType: NotRequired[str]
    subjectSource: NotRequired[str]


class TrustAnchorDetail(TypedDict):
    trustAnchorId: NotRequired[str]
    trustAnchorArn: NotRequired[str]
    name: NotRequired[str]
    source: NotRequired[Source]
    enabled: NotRequired[bool]
    crlDpRevocationEnabled: NotRequired[bool]
    createdAt: NotRequired[datetime]
    updatedAt: NotRequired[datetime]
    notificationSettings: NotRequired[Sequence[NotificationSettingDetail]]
    aliasName: NotRequired[str]
    aliasArn: NotRequired[str]
    previousAliasName: NotRequired[str]


class TrustAnchorDetailResponse(TypedDict):
    trustAnchor: TrustAnchorDetail


class UntagResourceRequest(TypedDict):
    resourceArn: str
    tagKeys: Sequence[str]


class UntagResourceResponse(TypedDict):
    pass


class UpdateCrlRequest(TypedDict):
    crlId: str
    name: NotRequired[str]
    crlData: NotRequired[bytes]
    aliasName: NotRequired[str]


class UpdateProfileRequest(TypedDict):
    profileId: str
    name: NotRequired[str]
    sessionPolicy: NotRequired[str]
    roleArns: NotRequired[Sequence[str]]
    managedPolicyArns: NotRequired[Sequence[str]]
    durationSeconds: NotRequired[int]
    acceptRoleSessionName: NotRequired[bool]
    aliasName: NotRequired[str]
    tipConfiguration: NotRequired[TipConfiguration]


class UpdateTrustAnchorRequest(TypedDict):
    trustAnchorId: str
    name: NotRequired[str]
    source: NotRequired[Source]
    crlDpRevocationEnabled: NotRequired[bool]
    aliasName: NotRequired[str]
