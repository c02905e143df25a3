"""The operations: a declaration and a few lines for each."""
