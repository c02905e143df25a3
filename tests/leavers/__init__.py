"""Who leaves by which way, and when what they hold is dead: a table that real runs fill."""
