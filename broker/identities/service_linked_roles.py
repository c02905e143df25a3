"""Service-linked roles: predefined, assumed by their service alone, deleted by a task.

Source: IAM User Guide, "Create a service-linked role"; AWS services' own guides for
the names.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from broker.entropy import new_request_id, new_unique_id
from broker.errors import InvalidInput, NoSuchEntity, UnmodifiableEntity
from broker.identities.limits import Quota, require_within
from broker.model.account import Account, AccountId
from broker.model.entities import Role
from broker.model.machines import SERVICE_ROLE_PATH, DeletionTask
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.errors import AlreadyExistsError

_DOMAIN = ".amazonaws.com"
_TASK_ID = re.compile(rf"task{SERVICE_ROLE_PATH}[^/]+/[^/]+/[^/]+")

SERVICES: Mapping[str, str] = {
    "access-analyzer": "AccessAnalyzer",
    "accountdiscovery.ssm": "AmazonSSM_AccountDiscovery",
    "agentless.inspector2": "AmazonInspector2Agentless",
    "appmesh": "AppMesh",
    "apprunner": "AppRunner",
    "appstream.application-autoscaling": "ApplicationAutoScaling_AppStreamFleet",
    "autoscaling": "AutoScaling",
    "autoscaling-plans": "AutoScalingPlans_EC2AutoScaling",
    "backup": "Backup",
    "batch": "Batch",
    "cassandra.application-autoscaling": "ApplicationAutoScaling_CassandraTable",
    "channels.lex": "LexChannels",
    "channels.lexv2": "LexV2Channels",
    "cks.kms": "KeyManagementServiceCustomKeyStores",
    "cloud9": "AWSCloud9",
    "cloudhsm": "CloudHSM",
    "cloudtrail": "CloudTrail",
    "cloudwatch-crossaccount": "CloudWatchCrossAccount",
    "comprehend.application-autoscaling": "ApplicationAutoScaling_ComprehendEndpoint",
    "compute-optimizer": "ComputeOptimizer",
    "config": "Config",
    "config-conforms": "ConfigConforms",
    "config-multiaccountsetup": "ConfigMultiAccountSetup",
    "connect": "AmazonConnect",
    "custom-resource.application-autoscaling": "ApplicationAutoScaling_CustomResource",
    "dax": "DAX",
    "dynamodb.application-autoscaling": "ApplicationAutoScaling_DynamoDBTable",
    "ec2.application-autoscaling": "ApplicationAutoScaling_EC2SpotFleetRequest",
    "ec2fleet": "EC2Fleet",
    "ecs": "ECS",
    "ecs.application-autoscaling": "ApplicationAutoScaling_ECSService",
    "eks": "AmazonEKS",
    "eks-fargate": "AmazonEKSForFargate",
    "eks-nodegroup": "AmazonEKSNodegroup",
    "elasticache": "ElastiCache",
    "elasticache.application-autoscaling": "ApplicationAutoScaling_ElastiCacheRG",
    "elasticbeanstalk": "ElasticBeanstalk",
    "elasticfilesystem": "AmazonElasticFileSystem",
    "elasticloadbalancing": "ElasticLoadBalancing",
    "elasticmapreduce": "EMRCleanup",
    "email.cognito-idp": "AmazonCognitoIdpEmailService",
    "es": "AmazonElasticsearchService",
    "events": "CloudWatchEvents",
    "fms": "FMS",
    "globalaccelerator": "GlobalAccelerator",
    "guardduty": "AmazonGuardDuty",
    "imagebuilder": "ImageBuilder",
    "inspector": "AmazonInspector",
    "inspector2": "AmazonInspector2",
    "ipam": "IPAM",
    "kafka": "Kafka",
    "kafka.application-autoscaling": "ApplicationAutoScaling_KafkaCluster",
    "kinesisreplication.dynamodb": "DynamoDBKinesisDataStreamsReplication",
    "lambda.application-autoscaling": "ApplicationAutoScaling_LambdaConcurrency",
    "lex": "LexBots",
    "lexv2": "LexV2Bots",
    "license-manager": "AWSLicenseManagerRole",
    "logger.cloudfront": "CloudFrontLogger",
    "macie": "AmazonMacie",
    "malware-protection.guardduty": "AmazonGuardDutyMalwareProtection",
    "member.org.stacksets.cloudformation": "CloudFormationStackSetsOrgMember",
    "mq": "AmazonMQ",
    "mrk.kms": "KeyManagementServiceMultiRegionKeys",
    "neptune.application-autoscaling": "ApplicationAutoScaling_NeptuneCluster",
    "network-firewall": "NetworkFirewall",
    "observability.aoss": "AmazonOpenSearchServerless",
    "opensearchservice": "AmazonOpenSearchService",
    "ops.apigateway": "APIGateway",
    "ops.emr-serverless": "AmazonEMRServerless",
    "organizations": "Organizations",
    "ram": "ResourceAccessManager",
    "rds": "RDS",
    "rds.application-autoscaling": "ApplicationAutoScaling_RDSCluster",
    "redshift": "Redshift",
    "replication.dynamodb": "DynamoDBReplication",
    "replication.ecr": "ECRReplication",
    "replicator.lambda": "LambdaReplicator",
    "resource-explorer-2": "ResourceExplorer",
    "rolesanywhere": "RolesAnywhere",
    "route53resolver": "Route53Resolver",
    "sagemaker.application-autoscaling": "ApplicationAutoScaling_SageMakerEndpoint",
    "securityhub": "SecurityHub",
    "servicequotas": "ServiceQuotas",
    "shield": "AWSShield",
    "spot": "EC2Spot",
    "spotfleet": "EC2SpotFleet",
    "ssm": "AmazonSSM",
    "sso": "SSO",
    "stacksets.cloudformation": "CloudFormationStackSetsOrgAdmin",
    "storage-lens.s3": "S3StorageLens",
    "support": "Support",
    "transitgateway": "VPCTransitGateway",
    "trustedadvisor": "TrustedAdvisor",
    "vpc-lattice": "VpcLattice",
    "waf": "WAFLogging",
    "waf-regional": "WAFRegionalLogging",
    "wafv2": "WAFV2Logging",
}
"""Services (their principals without the domain) and the names of their roles."""

_WITH_SUFFIX = frozenset(
    {"autoscaling", "channels.lexv2", "cloud9", "connect", "lexv2"}
)

_IN_USE = (
    "The role was used so lately that one of its sessions may still be alive."
    " Remove what uses it, wait, and try again."
)
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"


def is_service_linked(role: Role) -> bool:
    """Whether a role belongs to a service."""
    return role.path.startswith(SERVICE_ROLE_PATH)


def require_modifiable(role: Role) -> None:
    """Refuse to change a role that belongs to a service.

    Raises:
        UnmodifiableEntity: it does.
    """
    if is_service_linked(role):
        raise UnmodifiableEntity(
            f"Cannot perform the operation on the protected role '{role.name}' - this"
            " role is only modifiable by AWS"
        )


def refuse_reserved_path(path: str) -> None:
    """Refuse a path that says whose role it is.

    Raises:
        InvalidInput: only service-linked roles have it.
    """
    if path.startswith(SERVICE_ROLE_PATH):
        raise InvalidInput(
            f"The path {SERVICE_ROLE_PATH} is reserved for service-linked roles."
        )


def linked_role_name(service: str, suffix: str | None) -> str:
    """The name of a service's own role.

    Raises:
        InvalidInput: the service has none, or none with a suffix.
    """
    key = service.removesuffix(_DOMAIN)
    name = SERVICES.get(key)
    if name is None or key == service:
        raise InvalidInput(f"{service} is not a service with a service-linked role.")
    if suffix is None:
        return f"AWSServiceRoleFor{name}"
    if key not in _WITH_SUFFIX:
        raise InvalidInput(f"Custom suffix is not allowed for {service}")
    return f"AWSServiceRoleFor{name}_{suffix}"


async def create_linked_role(
    change: DirectoryChange,
    account: Account,
    *,
    service: str,
    suffix: str | None,
    description: str | None,
    now: datetime,
) -> Role:
    """Make a service's own role.

    Raises:
        InvalidInput: the service has none, or its name is taken.
        LimitExceeded: the account has too many roles.
    """
    name = linked_role_name(service, suffix)
    count = await change.count(account.account_id, "roles")
    require_within(account, Quota.ROLES, count + 1)
    role = Role(
        account=account.account_id,
        role_id=new_unique_id("AROA"),
        name=name,
        path=f"{SERVICE_ROLE_PATH}{service}/",
        trust_policy=_trust(service),
        created_at=now,
        description=description or None,
    )
    try:
        await change.insert_role(role)
    except AlreadyExistsError as error:
        raise InvalidInput(
            f"Service role name {name} has been taken in this account, please try a"
            " different suffix."
        ) from error
    return role


async def delete_linked_role(
    change: DirectoryChange, role: Role, *, now: datetime
) -> DeletionTask:
    """Remove a service's own role unless it is in use, and keep how that went.

    Raises:
        NoSuchEntity: it is nobody's own role.
    """
    if not is_service_linked(role):
        raise NoSuchEntity(
            f"The service-linked role with name {role.name} cannot be found."
        )
    usage = await usage_of(change, role, now=now)
    task = DeletionTask(
        account=role.account,
        task_id=f"task{role.path}{role.name}/{new_request_id()}",
        status=FAILED if usage else SUCCEEDED,
        made_at=now,
        reason=_IN_USE if usage else "",
    )
    if not usage:
        await change.delete_role(role)
    await change.insert_deletion_task(task)
    return task


async def usage_of(
    directory: DirectoryReader, role: Role, *, now: datetime
) -> frozenset[str]:
    """The regions where the role was used so lately that a session may be alive."""
    longest = timedelta(seconds=role.max_session_duration_seconds)
    return frozenset(
        use.region
        for use in await directory.list_uses(role.account, [role.role_id])
        if use.at > now - longest
    )


def role_of_task(task: DeletionTask) -> str:
    """The name of the role that a deletion task was for."""
    return task.task_id.split("/")[-2]


async def require_deletion_task(
    directory: DirectoryReader, account: AccountId, task_id: str
) -> DeletionTask:
    """How a deletion went.

    Raises:
        InvalidInput: no task has such an id.
        NoSuchEntity: there was none.
    """
    if not _TASK_ID.fullmatch(task_id):
        raise InvalidInput("Invalid task id")
    task = await directory.find_deletion_task(account, task_id)
    if task is None:
        raise NoSuchEntity(f"The deletion task {task_id} cannot be found.")
    return task


def _trust(service: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
        separators=(",", ":"),
    )
