"""IAM Access Analyzer: questions about policies, in AWS's wire.

Nothing is stored: a policy comes with the call, and the answer is about its text alone.
"""

from broker.actions.access_analyzer.checks import CHECKS
from broker.actions.access_analyzer.validation import VALIDATION

ACCESS_ANALYZER = (*CHECKS, *VALIDATION)
"""Every action of the service."""

__all__ = ["ACCESS_ANALYZER"]
