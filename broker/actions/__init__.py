"""What can be asked for: each operation is a declaration and a few lines.

An `action` says which permission a call needs, on what, what it takes and what it does;
the `registry` has all of them by service and name, with the shapes of botocore's
`models`. The folders are the services: `iam`, `sts`, `signin`, `portal`, `decisions`
(other services ask about their own callers), `instances`, `roles_anywhere`,
`access_analyzer` and `scim`.

Who calls is settled before, by `broker.proofs`; whether they may, by `broker.permit`; the
rules of what is made or changed are those of `broker.kinds`; credentials come from
`broker.sessions`. Nothing here knows how a request came or how its answer is written.
"""
