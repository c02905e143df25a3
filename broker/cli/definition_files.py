"""Files with the definition of a registered service or an upstream."""

from pathlib import Path

import typer

from broker.kinds.template.yaml_text import TemplateError, read_definition
from broker.protocols.enforcement.definition import DEFINITION_CHARACTERS_MAX


def read_definition_file(file: Path) -> str:
    """The JSON text of a definition in YAML or JSON.

    Raises:
        typer.BadParameter: The file cannot be read, is too long, or is not YAML.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            return read_definition(stream.read(DEFINITION_CHARACTERS_MAX + 1))
    except (OSError, UnicodeDecodeError, TemplateError) as error:
        raise typer.BadParameter(f"{file}: {error}") from error
