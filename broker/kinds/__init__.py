"""IAM entities: names, limits, invariants and what belongs together.

Every creation or change of an entity goes through here, whether by a signed call or the
operator's template, so that rules and messages are the same. Functions that change take
the open transaction and the account; they raise the wire errors.
"""
