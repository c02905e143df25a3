"""Validates policy documents that are about to be stored or used."""

import re

from broker.errors import MalformedPolicyDocument
from broker.policy import (
    PolicyDocument,
    PolicyKind,
    PolicyRejected,
    check_shared_issuers,
    parse_new_policy,
)
from broker.policy.catalogue import service_prefixes

_NAME = re.compile(
    r"(?:[a-z0-9-]+\.)*?([a-z0-9-]+)(?:\.[a-z]{2}(?:-[a-z]+)+-[0-9])?"
    r"\.(?:amazonaws\.com(?:\.cn)?|amazon\.com|aws\.internal)"
)
_OTHER_NAMES = frozenset(
    {
        "airflow-env",
        "alarms",
        "alexa-appkit",
        "alexa-connectedhome",
        "application-insights",
        "automation",
        "aws-external-anthropic",
        "cloudwatch-crossaccount",
        "config-conforms",
        "config-multiaccountsetup",
        "continuousexport",
        "costoptimizationhub",
        "crowd",
        "customer-profiles",
        "deepcomposer",
        "deepracer",
        "dms-fleet-advisor",
        "ec2fleet",
        "ec2scheduled",
        "ecs-tasks",
        "edgelambda",
        "eks-connector",
        "eks-fargate",
        "eks-fargate-pods",
        "eks-nodegroup",
        "emrwal",
        "hooks",
        "iotthingsgraph",
        "lexv2",
        "macie",
        "migrationhub",
        "monitoring",
        "opensearchservice",
        "osis-pipelines",
        "pinpoint",
        "resourcegroups",
        "servicecatalog-appregistry",
        "spot",
        "spotfleet",
        "stacksets",
        "storage-lens",
        "transitgateway",
        "vmie",
        "vpc-flow-logs",
    }
)


def is_known_service(principal: str) -> bool:
    """Whether a service principal such as ``ecs-tasks.amazonaws.com`` is a service's."""
    match = _NAME.fullmatch(principal)
    if match is None:
        return False
    return match[1] in _OTHER_NAMES or match[1] in service_prefixes()


def checked_document(
    text: str, kind: PolicyKind, *, managed: bool = False
) -> PolicyDocument:
    """The parsed document of a policy about to be stored or used as a session policy.

    ``managed`` is for managed policies. Principals are not looked up.

    Raises:
        MalformedPolicyDocument: the engine refuses it, or it opens a role to every
            tenant of a shared issuer.
    """
    try:
        return validated_document(text, kind, managed=managed)
    except PolicyRejected as error:
        raise malformed(error) from error


def validated_document(
    text: str, kind: PolicyKind, *, managed: bool = False
) -> PolicyDocument:
    """The same for pages, which show where in the text a mistake is.

    Raises:
        PolicyRejected: as above.
    """
    document = parse_new_policy(
        text, kind, managed=managed, knows_service=is_known_service
    )
    if kind is PolicyKind.TRUST:
        check_shared_issuers(document)
    return document


def malformed(error: PolicyRejected) -> MalformedPolicyDocument:
    """What the wire says of a policy that the engine refuses."""
    return MalformedPolicyDocument(
        error.message,
        detail=f"{error.reason} at {error.place or 'the document'}: {error.message}",
        advice=error.advice,
    )
