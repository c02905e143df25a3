"""State: directory, ledger and cache, each a port with its implementations."""
