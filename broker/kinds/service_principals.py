"""Which services a trust policy may name as principals.

AWS refuses names that are not those of a service. Its list is not public: a name counts
here when the part before the region is a service's prefix in the catalogue, or one of the
names below, which differ from their services' prefixes.

Source: IAM User Guide, "AWS service principals"; the services' own guides.
"""

import re

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
