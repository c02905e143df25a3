"""What was asked: a declaration and a few lines for each operation."""
