"""``broker agent``: a machine's credentials for the programs on it.

A program of its own beside a workload. It holds one identity, gets credentials from the
broker with it, and hands them out as AWS's own endpoints do. It imports little: the
standard library, an HTTP parser and one signature algorithm, and of the broker nothing.

    configuration   the one file that it reads
    broker_api      calls to the broker
    clock           the broker's time of day
    identity        what it is, and how it proves that: a key, a token file, an access key
    certificate     a role by the machine's certificate
    keeper          the credentials in memory, renewed early
    http_server     a small HTTP server for local endpoints
    metadata        EC2's instance metadata
    container       the container credentials endpoint
    outputs         ``credential_process`` and the credentials file
    check           what is wrong
    main            the command
"""
