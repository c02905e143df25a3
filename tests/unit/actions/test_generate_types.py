import subprocess
import sys

import pytest

from broker.actions.generate_types import SERVICES, generate, types_path
from broker.actions.models import load_service_model


@pytest.mark.parametrize("name", SERVICES)
def test_the_generated_types_are_those_of_the_pinned_models(name: str) -> None:
    """When this fails, run `make types` and commit what it writes."""
    written = types_path(name).read_text("utf-8")
    assert written == generate(load_service_model(name))


@pytest.mark.parametrize("name", SERVICES)
def test_models_are_loaded_without_their_documentation(name: str) -> None:
    model = load_service_model(name)
    shapes = model["shapes"].values()
    assert model["metadata"]["serviceId"].lower().replace(" ", "-") == name
    assert not any("documentation" in shape for shape in shapes)
    assert not any(
        "documentation" in reference
        for shape in shapes
        for reference in shape.get("members", {}).values()
    )


def test_the_types_are_for_type_checking_only() -> None:
    code = (
        "import sys, broker.compose.app;"
        "sys.exit(any(name.startswith('broker.model.types') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
