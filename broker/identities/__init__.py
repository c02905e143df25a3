"""IAM entities: names, limits, invariants and what belongs together.

Everything that makes or changes an entity goes through here, whether a signed call
or the operator's template asks for it: one set of rules, one set of texts. Functions
that change take the open transaction and the account; they raise the wire errors.
"""
