"""The operator's declarative set-up: ``broker apply`` and ``broker export``.

A template is YAML: per account a list for each kind of entity, with the property names
of CloudFormation's ``AWS::IAM::…`` resources; broker options stand under
``Broker``. The same rules apply as to signed calls, and a template never contains
secrets.

`properties` reads the members of a text, `reader` parses and writes it by account, one
module for each kind of entity describes its properties, `section` what they share, and
`apply` applies a template. What each kind must be is left to `broker.kinds`, and where
in a text a fault is to its module ``yaml_text``.
"""
