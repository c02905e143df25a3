"""Entry points for programs: from octets to a request that the pipeline takes, and back.

The `edge` is around all of them: host names, client addresses, the access log;
`connection` and `bounds` are what a client can make a worker hold. `api` and `endpoint`
are what the protocols share: `query_api` and `rest_api` speak AWS's, `authzen`,
`decisions`, `opa` and `versitygw` ask for decisions, `scim_api` is for directories;
`doors` opens those that have something behind them. `health` and `metrics` are for
operators.

How the protocols are written is for `broker.protocols`, what an operation does for
`broker.actions`; pages are the console's.
"""
