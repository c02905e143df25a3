"""Responses to SCIM clients: resources, lists, errors and discovery."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    Context,
    Error,
    ETag,
    Filter,
    Meta,
    Patch,
    Resource,
    ResourceType,
    ServiceProviderConfig,
    Sort,
)

from broker.model.provisioned import Membership, ProvisionedGroup, ProvisionedUser
from broker.protocols.scim.requests import PAGE_MAX, Listing
from broker.protocols.scim.resources import Group, User
from broker.runtime.bounded import remembered

Answer = Mapping[str, Any]

_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_WHOLE = Listing()
_TYPES: tuple[type[Resource[Any]], ...] = (User, Group)


def etag(version: int) -> str:
    """The entity tag of a version of a resource."""
    return f'W/"{version}"'


def load_user(user: ProvisionedUser) -> User:
    """The resource as it was provisioned."""
    return User.model_validate(orjson.loads(user.document))


def dump_user(user: User) -> str:
    """What is kept of a resource."""
    kept = user.model_dump(exclude={"id", "meta", "groups"})
    return orjson.dumps(kept).decode()


def show_user(
    user: ProvisionedUser,
    groups: Iterable[Membership],
    base: str,
    listing: Listing = _WHOLE,
) -> Answer:
    """A user as SCIM shows it; ``base`` is the address of the account's SCIM."""
    resource = load_user(user)
    resource.id = user.user_id
    resource.active = user.active
    resource.meta = _meta(user, "User", f"{base}/Users/{user.user_id}")
    whole = _projected(resource, listing)
    if listing.shows("groups"):
        rows = [
            {
                "value": membership.group_id,
                "$ref": f"{base}/Groups/{membership.group_id}",
                "display": membership.group_name,
            }
            for membership in groups
        ]
        whole = {**whole, **({"groups": rows} if rows else {})}
    return whole


def show_group(
    group: ProvisionedGroup,
    members: Iterable[Membership],
    base: str,
    listing: Listing = _WHOLE,
) -> Answer:
    """A group as SCIM shows it."""
    resource = Group(
        id=group.group_id,
        external_id=group.external_id or None,
        display_name=group.name,
        meta=_meta(group, "Group", f"{base}/Groups/{group.group_id}"),
    )
    whole = _projected(resource, listing)
    if listing.shows("members"):
        # Built by hand: a model for each of thousands of members takes too long.
        rows = [
            {"value": membership.user_id, "$ref": f"{base}/Users/{membership.user_id}"}
            for membership in members
        ]
        whole = {**whole, **({"members": rows} if rows else {})}
    return whole


def show_list(resources: Sequence[Answer], total: int, start: int) -> Answer:
    """A page of a list."""
    return {
        "schemas": [_LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(resources),
        "Resources": list(resources),
    }


def show_error(status: int, detail: str, scim_type: str = "") -> bytes:
    """An error, as RFC 7644, 3.12 has it."""
    error = Error(status=status, scim_type=scim_type or None, detail=detail)
    return error.model_dump_json().encode()


@remembered()
def show_discovery(base: str, path: str) -> Answer | None:
    """What ``/ServiceProviderConfig``, ``/ResourceTypes`` and ``/Schemas`` answer.

    ``path`` is what follows the account's address; None for any other path.
    """
    name, _, rest = path.removeprefix("/").partition("/")
    documents = {
        "ServiceProviderConfig": _config,
        "ResourceTypes": _resource_types,
        "Schemas": _schemas,
    }
    if name not in documents:
        return None
    results = documents[name](base)
    if name == "ServiceProviderConfig":
        return None if rest else results[0]
    if rest:
        return next((entry for entry in results if entry["id"] == rest), None)
    return show_list(results, len(results), 1)


def _meta(entry: ProvisionedUser | ProvisionedGroup, kind: str, location: str) -> Meta:
    return Meta(
        resource_type=kind,
        created=entry.created_at,
        last_modified=entry.updated_at,
        location=location,
        version=etag(entry.version),
    )


def _projected(resource: Resource[Any], listing: Listing) -> Answer:
    dumped: Answer = resource.model_dump(
        scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=listing.projection
    )
    return dumped


def _config(base: str) -> list[Answer]:
    config = ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=PAGE_MAX),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=True),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Bearer token",
                description="A token that the broker created for the provider.",
                primary=True,
            )
        ],
        meta=Meta(
            resource_type="ServiceProviderConfig",
            location=f"{base}/ServiceProviderConfig",
        ),
    )
    return [_dumped(config)]


def _resource_types(base: str) -> list[Answer]:
    results = []
    for kind in _TYPES:
        resource_type = ResourceType.from_resource(kind)
        resource_type.meta = Meta(
            resource_type="ResourceType",
            location=f"{base}/ResourceTypes/{resource_type.id}",
        )
        results.append(_dumped(resource_type))
    return results


def _schemas(base: str) -> list[Answer]:
    results = []
    for kind in _TYPES:
        schema = kind.to_schema()
        schema.meta = Meta(
            resource_type="Schema", location=f"{base}/Schemas/{schema.id}"
        )
        results.append(_dumped(schema))
    return results


def _dumped(resource: Resource[Any]) -> Answer:
    dumped: Answer = resource.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
    return dumped
