"""Registered services: what administers them, and the decisions that they ask for."""

from broker.actions.action import Action
from broker.actions.decisions.resource_policies import RESOURCE_POLICIES
from broker.actions.decisions.services import SERVICES

MANAGEMENT: tuple[Action, ...] = (*SERVICES, *RESOURCE_POLICIES)
"""What an account's administrators call, through the Query API."""
