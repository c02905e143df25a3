"""What boto3 raises, in the parts that tests look at."""

from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError


class Refusal(NamedTuple):
    status: int
    code: str
    message: str


def refused(call: Any, *arguments: Any, **params: Any) -> Refusal:
    """How a client's call is refused; it must be."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **params)
    answer = caught.value.response
    error = answer["Error"]
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return Refusal(status, error["Code"], error.get("Message", ""))
