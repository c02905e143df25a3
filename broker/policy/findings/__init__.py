"""Findings about a policy's text, as IAM Access Analyzer's ``ValidatePolicy`` has them.

`codes` says what there is, `elements`, `conditions` and `names` read the text, which may
break the grammar, and `grants` asks what it would grant. A text that the grammar refuses
has a finding that is an error, whatever the rules see.
"""

from broker.policy.findings.codes import ISSUES, FindingKind, Issue
from broker.policy.findings.finding import Path, PolicyFinding, locate
from broker.policy.findings.validate import FINDINGS_MAX, Findings, Subject, validate

__all__ = [
    "FINDINGS_MAX",
    "ISSUES",
    "FindingKind",
    "Findings",
    "Issue",
    "Path",
    "PolicyFinding",
    "Subject",
    "locate",
    "validate",
]
