"""A pod's projected token: the SDK reads the file again at each renewal.

    export AWS_ENDPOINT_URL=https://broker.example.com AWS_ENDPOINT_URL_STS=https://broker.example.com
    export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
    export AWS_ROLE_ARN=arn:aws:iam::123456789012:role/Pod
    export AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/tokens/broker
    python samples/projected_token.py

Kubernetes replaces the token in the file long before it expires, so no code is needed for
that. The trust policy needs a condition on `sub` (`system:serviceaccount:namespace:name`);
see `policies/trust-web-identity.json`.
"""

import boto3


def main() -> None:
    """Print the pod's identity."""
    print("You are:", boto3.client("sts").get_caller_identity()["Arn"])


if __name__ == "__main__":
    main()
