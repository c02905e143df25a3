"""Inputs and outputs of SSO's operations, version 2019-06-10.

Generated from the service model by ``make types``. Do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NotRequired, TypedDict


class AccountInfo(TypedDict):
    accountId: NotRequired[str]
    accountName: NotRequired[str]
    emailAddress: NotRequired[str]


class GetRoleCredentialsRequest(TypedDict):
    roleName: str
    accountId: str
    accessToken: str


class GetRoleCredentialsResponse(TypedDict):
    roleCredentials: NotRequired[RoleCredentials]


class ListAccountRolesRequest(TypedDict):
    nextToken: NotRequired[str]
    maxResults: NotRequired[int]
    accessToken: str
    accountId: str


class ListAccountRolesResponse(TypedDict):
    nextToken: NotRequired[str]
    roleList: NotRequired[Sequence[RoleInfo]]


class ListAccountsRequest(TypedDict):
    nextToken: NotRequired[str]
    maxResults: NotRequired[int]
    accessToken: str


class ListAccountsResponse(TypedDict):
    nextToken: NotRequired[str]
    accountList: NotRequired[Sequence[AccountInfo]]


class LogoutRequest(TypedDict):
    accessToken: str


class RoleCredentials(TypedDict):
    accessKeyId: NotRequired[str]
    secretAccessKey: NotRequired[str]
    sessionToken: NotRequired[str]
    expiration: NotRequired[int]


class RoleInfo(TypedDict):
    roleName: NotRequired[str]
    accountId: NotRequired[str]
