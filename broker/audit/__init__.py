"""The audit trail: one record per call, saying who did what and why, never a secret.

An `entry` grows with its call and the `writer` keeps it, whatever the end; `flood` and
`bursts` count failures of strangers instead of keeping each, `decisions` count those of
services; `export` and `trail` give records to programs, the second as CloudTrail would.

Where records are kept, and how they are found, is for `broker.stores.ledger`.
"""
