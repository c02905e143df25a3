"""The IAM policy language: parse, evaluate, explain. Pure, no I/O."""
