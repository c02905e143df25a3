"""IAM entities: names, limits, invariants and what belongs together."""
