"""State: directory, ledger and cache, each a port with its implementations.

The `directory` is what accounts have, the durable truth; the `ledger` is append-only:
audit records and what was used once; the `cache` may be lost without a credential
failing. `schema` has every table, `migrations` bring a database to it; `database` is the
engine under the first two, on SQLite or PostgreSQL.

What may be stored is decided by `broker.kinds` and `broker.sessions`.
"""
