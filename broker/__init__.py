"""A federation identity broker that speaks AWS's sign-in, STS and IAM protocols.

A person or a workload shows at an entry point who it is. The broker verifies the proof,
decides whether the caller may do what it asks, does it, records it, and answers in the
entry point's protocol: `pipeline` is this sentence as code, and the page to read first.
The rooms, from the entry points down, which is also how imports go:

    administration  pages for administrators of an account
    console         pages for everybody: signing in, the portal, one's own access
    edges           entry points for programs: AWS's APIs, decisions, SCIM, the portal's
    pipeline        prove, read, permit, do, record: every call takes these steps
    actions         what can be asked for: each operation, declared in a few lines
    proofs          who calls: by signature, assertion, token, password or certificate
    permit          whether they may: the policies that apply, and the rate of calls
    template        a whole account as text: what ``broker apply`` reads
    sessions        temporary credentials: what they hold, and what ends them
    kinds           what an account has, and the rules of each kind
    audit           the record of each call
    stores          what is kept: directory, ledger and cache
    protocols       the specifications, without I/O
    policy          IAM's policy language, without I/O
    model           the nouns that all of these share
    runtime         the process: clock, randomness, threads, shares of work, memory
    errors          the errors that callers see

`compose` puts a worker together from the `settings`; `cli` and `demo` start it, and
`__main__` is ``python -m broker``. `agent` (for machines) and `client` (for services)
stand alone: they import nothing from here. docs/architecture.md follows one call.
"""
