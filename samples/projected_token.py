"""A pod's projected token: the SDK reads the file again whenever it renews.

    export AWS_ENDPOINT_URL_STS=https://broker.example.com AWS_DEFAULT_REGION=us-east-1
    export AWS_ROLE_ARN=arn:aws:iam::123456789012:role/Pod
    export AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/tokens/broker
    python samples/projected_token.py

Kubernetes writes a new token into the file long before the old one expires; no code
here has to know. See `policies/trust-web-identity.json` for a condition on `sub`, which
a CI system's token (`repo:org/name:ref:refs/heads/main`) needs as much as a pod's
(`system:serviceaccount:namespace:name`).
"""

import boto3


def main() -> None:
    """Say who the pod is."""
    print("You are:", boto3.client("sts").get_caller_identity()["Arn"])


if __name__ == "__main__":
    main()
