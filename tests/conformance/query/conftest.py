import importlib.util
from collections.abc import Callable
from pathlib import Path

import botocore.model
import botocore.session
import pytest

from broker.actions.models import load_service_model
from broker.protocols.query.service import Service

_SPEC = importlib.util.spec_from_file_location(
    "query_examples", Path(__file__).with_name("examples.py")
)
examples = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(examples)

NAMES = ("sts", "iam")
_SESSION = botocore.session.get_session()
BOTOCORE = {name: _SESSION.get_service_model(name) for name in NAMES}
MODELS = {name: load_service_model(name) for name in NAMES}
OURS = {name: Service(MODELS[name]) for name in NAMES}
OPERATIONS = [
    (name, operation) for name in NAMES for operation in BOTOCORE[name].operation_names
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "operation" in metafunc.fixturenames:
        metafunc.parametrize(
            ("service", "operation"), OPERATIONS, ids=[".".join(o) for o in OPERATIONS]
        )


@pytest.fixture
def ours(service: str) -> Service:
    return OURS[service]


@pytest.fixture
def model(service: str) -> dict:
    return MODELS[service]


@pytest.fixture
def theirs(service: str) -> botocore.model.ServiceModel:
    return BOTOCORE[service]


@pytest.fixture(params=[True, False], ids=["full", "required"])
def example(request: pytest.FixtureRequest, model: dict) -> Callable[[str], dict]:
    def make(shape_name: str) -> dict:
        return examples.structure(model["shapes"], shape_name, full=request.param)

    return make
