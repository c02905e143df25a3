"""The service models, read from botocore's data without botocore's session.

Documentation strings are dropped: they are most of the memory and nobody reads them
at run time.
"""

import gzip
import json
from importlib.resources import files
from typing import Literal, cast

from broker.protocols.query.model import ServiceModel

ServiceName = Literal["sts", "iam"]

_VERSIONS: dict[ServiceName, str] = {"sts": "2011-06-15", "iam": "2010-05-08"}


def load_service_model(name: ServiceName) -> ServiceModel:
    """The model of a service, as botocore's pinned release has it."""
    folder = files("botocore") / "data" / name / _VERSIONS[name]
    packed = (folder / "service-2.json.gz").read_bytes()
    model = json.loads(gzip.decompress(packed))
    for part in (*model["operations"].values(), *model["shapes"].values()):
        part.pop("documentation", None)
    for shape in model["shapes"].values():
        for reference in shape.get("members", {}).values():
            reference.pop("documentation", None)
    model.pop("documentation", None)
    return cast("ServiceModel", model)
