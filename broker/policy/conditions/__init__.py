"""The condition operators: one table, and one module for each family of types."""

from broker.policy.conditions.compiler import (
    ConditionTest,
    Operator,
    Quantifier,
    accepted_presence,
    compile_condition,
    parse_operator,
)

__all__ = [
    "ConditionTest",
    "Operator",
    "Quantifier",
    "accepted_presence",
    "compile_condition",
    "parse_operator",
]
