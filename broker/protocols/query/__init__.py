"""The AWS Query protocol, compiled from service models that come as plain mappings.

``call`` takes a request apart, ``service`` compiles a model's readers and renderers
on first use, ``fault`` writes errors. Nothing here knows HTTP statuses of its own,
an account or a policy.
"""

from broker.protocols.query.call import QueryCall, parse_call
from broker.protocols.query.fault import (
    FAULT_NAMESPACE,
    render_fault,
    render_json_fault,
)
from broker.protocols.query.flatten import flatten
from broker.protocols.query.service import Service, select_service
from broker.protocols.shapes.constraints import Wording
from broker.protocols.shapes.violations import InputReason, InputRejected

__all__ = [
    "FAULT_NAMESPACE",
    "InputReason",
    "InputRejected",
    "QueryCall",
    "Service",
    "Wording",
    "flatten",
    "parse_call",
    "render_fault",
    "render_json_fault",
    "select_service",
]
