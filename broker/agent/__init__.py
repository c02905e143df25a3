"""``broker agent``: a machine's credentials for the programs on it.

A program of its own beside a workload. It holds one identity, gets credentials from the
broker with it, and hands them out as AWS's own endpoints do. It imports little: the
standard library, an HTTP parser and one signature algorithm, and of the broker nothing.

    configuration   the one file that it reads
    broker_api      calls to the broker
    identity        what it is, and how it proves that: a key, a token file, an access key
    certificate     a role by the machine's certificate
    instance        a machine that is registered as an instance
    credentials     credentials, and the role they belong to
    keeper          the credentials in memory, renewed early
    http_server     a small HTTP server for local endpoints
    metadata        EC2's instance metadata
    container       the container credentials endpoint
    service         the agent while it runs: its endpoints
    outputs         ``credential_process`` and the credentials file
    private_files   files that only their owner may read
    check           what is wrong
    main            the command
"""
