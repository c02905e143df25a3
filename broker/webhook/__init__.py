"""``broker webhook``: roles for the pods of a Kubernetes cluster.

A mutating admission webhook, a program of its own. A pod whose service account is
annotated with a role gets what an AWS SDK needs to assume it: the role, a token of the
service account, and the address of the broker. It does for any cluster what AWS's does
for its own, and imports as little as the agent.

    admission   what to add to a pod: reviews in, patches out
    cluster     the annotations of service accounts, from the API server
    server      the endpoint, with a certificate that is read again
    main        the command

Source: Kubernetes, "Dynamic Admission Control"; Amazon EKS User Guide, "IAM roles for
service accounts".
"""
