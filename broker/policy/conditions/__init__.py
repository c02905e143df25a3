"""The condition operators: one table, and one module for each family of types."""

from broker.policy.conditions.compiler import ConditionTest, compile_condition
from broker.policy.conditions.operator import Operator, Quantifier, parse_operator

__all__ = [
    "ConditionTest",
    "Operator",
    "Quantifier",
    "compile_condition",
    "parse_operator",
]
