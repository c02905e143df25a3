"""The operator's declarative set-up: ``broker apply`` and ``broker export``.

A template is YAML: per account a list for each kind of entity, with the property names
of CloudFormation's ``AWS::IAM::…`` resources; broker options stand under
``Broker``. The same rules apply as to signed calls, and a template never contains
secrets.

`yaml_text` and `properties` read the text, `reader` parses it by account, one module
for each kind of entity describes its properties, `apply` applies a template and
`export` writes one.
"""
