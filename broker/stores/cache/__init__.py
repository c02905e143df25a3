"""State that may be lost: session records, handles, counters, key sets."""
