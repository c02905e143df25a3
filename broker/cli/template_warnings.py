"""Warnings about unknown actions in a template."""

from collections.abc import Iterator
from datetime import datetime

from broker.catalogue import unknown_actions
from broker.identities.control_policies import ControlKind
from broker.identities.template.kind import TemplateContext
from broker.identities.template.managed_policies import PolicySpec
from broker.identities.template.owned import OwnerSpec
from broker.identities.template.reader import AccountTemplate, parse_template
from broker.policy import PolicyKind, parse_policy


def template_warnings(
    text: str, context: TemplateContext, now: datetime
) -> Iterator[str]:
    """A line for each action that no AWS service has; it may be misspelt.

    Raises:
        TemplateError: The template is invalid.
    """
    for account in parse_template(text, context, now):
        for place, document, kind in _documents(account):
            for warning in unknown_actions(parse_policy(document, kind)):
                yield f"{account.place}.{place}: {warning}"


def _documents(account: AccountTemplate) -> Iterator[tuple[str, str, PolicyKind]]:
    for section, specs in account.sections.items():
        for spec in specs:
            if isinstance(spec, PolicySpec):
                yield f"{section}.{spec.name}", spec.document, PolicyKind.IDENTITY
            elif isinstance(spec, OwnerSpec):
                for name, document in spec.policies.items():
                    yield f"{section}.{spec.name}.{name}", document, PolicyKind.IDENTITY
    for control in ControlKind:
        for policy in account.controls.get(control, ()):
            yield f"Broker.{control}.{policy.name}", policy.text, control.grammar
