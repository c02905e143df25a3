"""The findings that there are, as data: code, kind and text.

Codes and kinds are AWS's, the texts our own. What stands in braces is filled in.

Source: IAM User Guide, "IAM Access Analyzer policy check reference".
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct

_ERRORS = {
    "ARN_ACCOUNT_NOT_ALLOWED": "ARNs of {service} have no account: leave out {value}.",
    "ARN_REGION_NOT_ALLOWED": "ARNs of {service} have no region: leave out {value}.",
    "DATA_TYPE_MISMATCH": "Here must be {hint}.",
    "DUPLICATE_KEYS_WITH_DIFFERENT_CASE": (
        "{value} is the same key as another of this operator: keep one of them."
    ),
    "EMPTY_VARIABLE": "A variable needs a condition key: write ${{aws:username}}.",
    "INVALID_ACTION": "The action {value} does not exist{hint}.",
    "INVALID_ARN_ACCOUNT": "{value} is not an account: write twelve digits.",
    "INVALID_ARN_PREFIX": "{value} is not an ARN: it begins with arn:.",
    "INVALID_ARN_RESOURCE": "{service} has no resources such as {value}.",
    "INVALID_ARN_SERVICE_CASE": "Write the service {value} in lower case.",
    "INVALID_CONDITION_DATA_TYPE": (
        "Values of a condition are texts, numbers or Booleans, or lists of them."
    ),
    "INVALID_CONDITION_KEY_FORMAT": "{value} is not a key: write service:name.",
    "INVALID_CONDITION_MULTIPLE_BOOLEAN": "Write one Boolean: more are always true.",
    "INVALID_CONDITION_OPERATOR": "{value}: {hint}.",
    "INVALID_EFFECT": 'Write "Allow" or "Deny".',
    "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY": (
        "{value} is neither the ARN of a provider nor a built-in issuer."
    ),
    "INVALID_GLOBAL_CONDITION_KEY": "The condition key {value} does not exist.",
    "INVALID_PARTITION": "{value} is not a partition: write aws.",
    "INVALID_POLICY_ELEMENT": "The element {value} does not exist{hint}.",
    "INVALID_PRINCIPAL_FORMAT": "{value} names no principal.",
    "INVALID_PRINCIPAL_KEY": (
        "{value} is no kind of principal: write AWS, Federated or Service."
    ),
    "INVALID_SERVICE": "The service {value} of this ARN does not exist.",
    "INVALID_SERVICE_CONDITION_KEY": "The condition key {value} does not exist.",
    "INVALID_SERVICE_IN_ACTION": "The service {value} does not exist{hint}.",
    "INVALID_SERVICE_PRINCIPAL_FORMAT": (
        "{value} names no service: write one such as ec2.amazonaws.com."
    ),
    "INVALID_VARIABLE_FOR_OPERATOR": "Values of {operator} have no variables.",
    "INVALID_VERSION": 'Write "2012-10-17".',
    "INVALID_VPCE_FORMAT": "{value} is not the id of a VPC endpoint.",
    "INVALID_VPC_FORMAT": "{value} is not the id of a VPC.",
    "JSON_SYNTAX_ERROR": "This is not JSON: {hint}.",
    "MISMATCHED_ACTION_FOR_PRINCIPAL": "{value} is not for such a principal.",
    "MISSING_ACTION": "The statement needs an Action or a NotAction.",
    "MISSING_ACTION_FOR_ROLES_ANYWHERE_TRUST_POLICY": (
        "IAM Roles Anywhere also needs {value}."
    ),
    "MISSING_ARN_FIELD": "{value} has not the six parts of an ARN.",
    "MISSING_ARN_REGION": "ARNs of {service} have a region.",
    "MISSING_BRACE_IN_VARIABLE": "A variable is not closed: write ${{key}}.",
    "MISSING_EFFECT": 'The statement needs an Effect: "Allow" or "Deny".',
    "MISSING_PRINCIPAL": "The statement needs a Principal.",
    "MISSING_QUALIFIER": (
        "{value} can have several values: write ForAnyValue: or ForAllValues: before"
        " the operator."
    ),
    "MISSING_QUOTE_IN_VARIABLE": (
        "A variable's default stands in single quotes: write ${{key, 'default'}}."
    ),
    "MISSING_RESOURCE": "The statement needs a Resource or a NotResource.",
    "MISSING_STATEMENT": "The policy needs a Statement.",
    "MISSING_TAG_KEY_IN_CONDITION": "Write the key of a tag after {value}.",
    "NULL_WITH_IF_EXISTS": "Null takes no IfExists: write Null.",
    "POLICY_SIZE_EXCEEDS_SCP_QUOTA": (
        "The policy has {value} characters; a control policy may have {hint}."
    ),
    "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL": (
        "A trust policy names whom it trusts: write Principal."
    ),
    "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE": (
        "A trust policy is about its own role: leave {value} out."
    ),
    "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL": (
        "Wildcards stand for no part of {value}: name the principal."
    ),
    "SCP_SYNTAX_ERROR_PRINCIPAL": "A control policy names no principals.",
    "TYPE_MISMATCH_IP_RANGE": "{value} {hint}.",
    "UNIQUE_SIDS_REQUIRED": "The Sid {value} is used before.",
    "UNSUPPORTED_ELEMENT_COMBINATION": "Keep one of {value}.",
    "UNSUPPORTED_PRINCIPAL": "The policy belongs to its principal: leave {value} out.",
    "UNSUPPORTED_SID": "A Sid has letters and digits only.",
    "UNSUPPORTED_SPACE_IN_VARIABLE": "The key of a variable has no spaces.",
    "UNSUPPORTED_WILDCARD_IN_PRINCIPAL": (
        "Wildcards stand for no part of {value}: name the principal."
    ),
    "VARIABLE_UNSUPPORTED_IN_ELEMENT": "{value} has no variables.",
    "VARIABLE_UNSUPPORTED_IN_VERSION": (
        "Variables are plain text without Version 2012-10-17."
    ),
}
_SECURITY_WARNINGS = {
    "ALLOW_WITH_NOT_PRINCIPAL": (
        "Allow with NotPrincipal lets in everyone who is not named."
    ),
    "FORALLVALUES_WITH_SINGLE_VALUED_KEY": (
        "ForAllValues holds if {value} is absent, and the key has one value: leave it"
        " out."
    ),
    "MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL": (
        "Any token of the provider is let in: add conditions on {value}."
    ),
    "MISSING_GITHUB_REPO_CONDITION_KEY": (
        "Any repository of GitHub is let in: add a condition on {value}."
    ),
    "PASS_ROLE_WITH_NOTACTION_AND_NOTRESOURCE": (
        "NotAction and NotResource let any other role be passed to any service."
    ),
    "PASS_ROLE_WITH_NOTRESOURCE": (
        "NotResource lets any other role be passed to any service."
    ),
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOTRESOURCE": (
        "{value} and NotResource let any other role be passed to any service."
    ),
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE": (
        "{value} lets any role be passed to any service: name the roles, or the"
        " services in iam:PassedToService."
    ),
    "PASS_ROLE_WITH_STAR_IN_RESOURCE": (
        "Any role may be passed to any service: name the roles, or the services in"
        " iam:PassedToService."
    ),
    "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOTACTION": (
        "NotAction lets any role be passed to any service."
    ),
    "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL": (
        "{value} may act for anyone: add a condition on aws:SourceArn or"
        " aws:SourceAccount."
    ),
}
_WARNINGS = {
    "CREATE_SLR_WITH_NOTACTION_AND_NOTRESOURCE": (
        "NotAction and NotResource let roles be made for any service."
    ),
    "CREATE_SLR_WITH_NOTRESOURCE": "NotResource lets roles be made for any service.",
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOTRESOURCE": (
        "{value} and NotResource let roles be made for any service."
    ),
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE": (
        "{value} lets roles be made for any service: name the services in"
        " iam:AWSServiceName."
    ),
    "CREATE_SLR_WITH_STAR_IN_RESOURCE": (
        "Roles may be made for any service: name the services in iam:AWSServiceName."
    ),
    "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOTACTION": (
        "NotAction lets roles be made for any service."
    ),
    "INVALID_ROLE_REFERENCE": "{value} is the id of a role that was deleted: name one.",
    "INVALID_USER_REFERENCE": "{value} is the id of a user that was deleted: name one.",
    "MISSING_VERSION": (
        'Write "Version": "2012-10-17": without it, variables are plain text.'
    ),
    "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA": (
        "The policy has {value} characters; a managed policy may have {hint}."
    ),
    "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA": (
        "The policy has {value} characters; a resource's policy may have {hint}."
    ),
    "POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA": (
        "The policy has {value} characters; a trust policy may have {hint}."
    ),
    "SPECIFIC_GITHUB_REPO_AND_BRANCH_RECOMMENDED": (
        "{value} lets in more than a repository of yours: name owner and repository."
    ),
    "TYPE_MISMATCH": "Values of {value} are no {hint}: use another operator.",
    "TYPE_MISMATCH_BOOLEAN": "{value} {hint}.",
    "TYPE_MISMATCH_DATE": "{value} {hint}.",
    "TYPE_MISMATCH_NUMBER": "{value} {hint}.",
    "TYPE_MISMATCH_STRING": "{value} {hint}.",
    "WILDCARD_WITHOUT_LIKE_OPERATOR": (
        "{operator} takes {value} as it stands: wildcards are for {hint}."
    ),
}
_SUGGESTIONS = {
    "CONFIRM_AUDIENCE_CLAIM_TYPE": (
        "The audience of a token is one value: leave out ForAllValues."
    ),
    "EMPTY_ARRAY_ACTION": "The list is empty: name an action.",
    "EMPTY_ARRAY_CONDITION": "The list is empty: no value satisfies it.",
    "EMPTY_ARRAY_CONDITION_FORALLVALUES": (
        "The list is empty: only an absent key satisfies it."
    ),
    "EMPTY_ARRAY_CONDITION_FORANYVALUE": "The list is empty: no value satisfies it.",
    "EMPTY_ARRAY_CONDITION_IFEXISTS": (
        "The list is empty: only an absent key satisfies it."
    ),
    "EMPTY_ARRAY_PRINCIPAL": "The list is empty: name a principal.",
    "EMPTY_ARRAY_RESOURCE": "The list is empty: name a resource.",
    "EMPTY_OBJECT_CONDITION": "The condition compares nothing: leave it out.",
    "EMPTY_OBJECT_PRINCIPAL": "The element names no principal: name one.",
    "EMPTY_SID_VALUE": "The Sid is empty: leave it out.",
    "IMPROVE_IP_RANGE": "{value} stands for all of {hint}.",
    "NULL_WITH_QUALIFIER": "Null looks for the key itself: leave the qualifier out.",
    "REDUNDANT_ACTION": "{value} is in {hint} already.",
    "REDUNDANT_CONDITION_VALUE_NUM": "One value is as good as several here.",
    "REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY": "{value} is in {hint} already.",
    "REDUNDANT_RESOURCE": "{value} is in {hint} already.",
    "REDUNDANT_STATEMENT": "Other statements say the same already.",
    "WILDCARD_IN_SERVICE_NAME": "Name the services in {value}.",
}


class FindingKind(StrEnum):
    """How bad it is, in AWS's words; the worst first."""

    ERROR = "ERROR"
    SECURITY_WARNING = "SECURITY_WARNING"
    WARNING = "WARNING"
    SUGGESTION = "SUGGESTION"


class Issue(Struct, frozen=True):
    """What a finding can be about."""

    code: str
    kind: FindingKind
    text: str


_TABLES = {
    FindingKind.ERROR: _ERRORS,
    FindingKind.SECURITY_WARNING: _SECURITY_WARNINGS,
    FindingKind.WARNING: _WARNINGS,
    FindingKind.SUGGESTION: _SUGGESTIONS,
}
ISSUES: Mapping[str, Issue] = MappingProxyType(
    {
        code: Issue(code, kind, text)
        for kind, table in _TABLES.items()
        for code, text in table.items()
    }
)
"""Everything that a finding can be about, by code."""
