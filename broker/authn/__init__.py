"""Who is calling: one module a scheme."""
