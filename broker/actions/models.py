"""The service models, read from botocore's data without botocore's session.

The broker's own service has one of the same form, in ``own_models``: a client of AWS's
makes a client of it with ``AWS_DATA_PATH`` set to that folder.

Documentation strings are dropped: they take most of the memory and are not used at run
time. How a service words its refusals is not in its model, so it is defined here.
"""

import gzip
import json
from functools import cache
from importlib.resources import files
from typing import Literal, cast

from broker.protocols.json_api import RestService, TargetService
from broker.protocols.query import Service, Wording
from broker.protocols.shapes.model import ServiceModel

ServiceName = Literal["sts", "iam", "broker"]
"""Services that speak Query."""

RestName = Literal["sso", "sso-oidc", "rolesanywhere", "signin", "accessanalyzer"]
"""Services that speak rest-json."""

TargetName = Literal["cloudtrail"]
"""Services that speak awsJson1.1."""

_VERSIONS: dict[ServiceName | RestName | TargetName, str] = {
    "sts": "2011-06-15",
    "iam": "2010-05-08",
    "broker": "2026-11-27",
    "sso": "2019-06-10",
    "sso-oidc": "2019-06-10",
    "rolesanywhere": "2018-05-10",
    "signin": "2023-01-01",
    "accessanalyzer": "2019-11-01",
    "cloudtrail": "2013-11-01",
}

_ACTION_PREFIXES: dict[RestName, str] = {
    "sso": "sso",
    "sso-oidc": "sso-oauth",
    "rolesanywhere": "rolesanywhere",
    "signin": "signin",
    "accessanalyzer": "access-analyzer",
}
"""What the services of rest-json are called in actions."""

_MODEL = "service-2.json"
_NAME = "It must contain only alphanumeric characters and/or the following: +=,.@_-"
_PATH = (
    "It must begin and end with / and contain only alphanumeric characters and/or /"
    " characters."
)
_PREFIX = (
    "It must begin with the / character and contain only alphanumeric characters"
    " and/or / characters."
)
_DOCUMENT = "It must contain only printable ASCII characters."

_WORDINGS: dict[ServiceName, Wording] = {
    "sts": Wording(),
    "broker": Wording(),
    # Recorded in 2026: IAM quotes no values, and words some constraints differently.
    "iam": Wording(
        shows_values=False,
        never_null=frozenset({"tagKeys"}),
        sentences={
            **dict.fromkeys(
                (
                    "groupName",
                    "instanceProfileName",
                    "newGroupName",
                    "newServerCertificateName",
                    "newUserName",
                    "policyName",
                    "roleName",
                    "serverCertificateName",
                    "userName",
                    "virtualMFADeviceName",
                ),
                _NAME,
            ),
            **dict.fromkeys(("newPath", "path"), _PATH),
            "pathPrefix": _PREFIX,
            "accessKeyId": "It must contain only alphanumeric characters.",
            **dict.fromkeys(
                ("assumeRolePolicyDocument", "policyDocument", "privateKey"), _DOCUMENT
            ),
        },
    ),
}


@cache
def load_service(name: ServiceName) -> Service:
    """A service that reads and answers by its model, and words as AWS does."""
    return Service(load_service_model(name), _WORDINGS[name])


def load_sts_for_directories() -> Service:
    """STS with ``AssumeRoleWithLDAPIdentity``, which AWS does not have."""
    model = load_service_model("sts")
    folder = files("broker") / "actions" / "own_models" / "sts" / _VERSIONS["sts"]
    own = json.loads((folder / "ldap-identity.json").read_bytes())
    whole = {
        **model,
        "operations": {**model["operations"], **own["operations"]},
        "shapes": {**model["shapes"], **own["shapes"]},
    }
    return Service(cast("ServiceModel", whole), _WORDINGS["sts"])


@cache
def load_rest_service(name: RestName) -> RestService:
    """A service of rest-json, under the name that its actions have."""
    return RestService(_ACTION_PREFIXES[name], load_service_model(name))


@cache
def load_target_service(name: TargetName) -> TargetService:
    """A service of awsJson1.1."""
    return TargetService(name, load_service_model(name))


@cache
def load_service_model(name: ServiceName | RestName | TargetName) -> ServiceModel:
    """The model of a service, as botocore's pinned release has it, or our own.

    It is read once, and not to be changed.
    """
    if name == "broker":
        folder = files("broker") / "actions" / "own_models" / name / _VERSIONS[name]
        return cast("ServiceModel", json.loads((folder / _MODEL).read_bytes()))
    folder = files("botocore") / "data" / name / _VERSIONS[name]
    packed = (folder / f"{_MODEL}.gz").read_bytes()
    model = json.loads(gzip.decompress(packed))
    for part in (*model["operations"].values(), *model["shapes"].values()):
        part.pop("documentation", None)
    for shape in model["shapes"].values():
        for reference in shape.get("members", {}).values():
            reference.pop("documentation", None)
    model.pop("documentation", None)
    if name == "rolesanywhere":
        # AWS documents this operation, and leaves it out of its model.
        text = files("broker") / "actions" / "roles_anywhere" / "create_session.json"
        for part, more in json.loads(text.read_bytes()).items():
            model[part].update(more)
    return cast("ServiceModel", model)
