"""What may be lost: session records, handles, console sessions, limits, key sets."""
