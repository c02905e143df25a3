"""The operator's declarative set-up: ``broker apply`` and ``broker export``.

A template is YAML: per account a list for each kind of entity, with the property
names of CloudFormation's ``AWS::IAM::…`` resources; broker-only options stand under
``Broker``. It goes through the same rules as signed calls and holds no secret.

`yaml_text` and `properties` read, `reader` puts an account together, one module a
kind says what it consists of, `apply` brings it about and `export` writes it back.
"""

from broker.identities.template.apply import apply_template
from broker.identities.template.changes import Change, ChangeKind
from broker.identities.template.errors import TemplateError
from broker.identities.template.export import export_account
from broker.identities.template.kind import TemplateContext

__all__ = [
    "Change",
    "ChangeKind",
    "TemplateContext",
    "TemplateError",
    "apply_template",
    "export_account",
]
