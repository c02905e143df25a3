"""docs/errors.md says of every refusal of the edge what the code says."""

import re
from pathlib import Path

from broker.edges.refusals import (
    HEADS,
    STOPPING,
    ClientDialect,
    ErrorFormat,
    other_host,
    other_service,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "errors.md"
ROW = re.compile(r"\| ([0-9, ]+) \| (`\w+`(?:, `\w+`)*) \| .+ \|")


def test_the_document_has_every_refusal_with_its_status() -> None:
    documented = {
        (int(status), code)
        for statuses, codes in ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
        for status, code in zip(
            statuses.split(", "), re.findall(r"\w+", codes), strict=True
        )
    }
    refusals = {
        *HEADS.values(),
        STOPPING,
        other_host("https://broker.example"),
        other_service(ClientDialect("ec2", ErrorFormat.EC2)),
        other_service(ClientDialect("lambda", ErrorFormat.JSON)),
        other_service(ClientDialect("s3", ErrorFormat.S3)),
    }
    assert documented == {(each.status, each.code) for each in refusals}
