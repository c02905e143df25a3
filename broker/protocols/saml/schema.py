"""The assertion schema of SAML 2.0, as python3-saml ships it, compiled once.

libxml2's compiled schemas are read-only, but lxml keeps the last validation's error
log on the object, so each thread has its own.
"""

import threading
from importlib.resources import as_file, files

from lxml import etree
from lxml.etree import _Element

from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.names import (
    ATTRIBUTE_VALUE,
    XSI,
)

_TYPE = f"{{{XSI}}}type"
_HINTS = (f"{{{XSI}}}schemaLocation", f"{{{XSI}}}noNamespaceSchemaLocation")
_compiled = threading.local()


def check_schema(assertion: _Element) -> None:
    """Refuse a detached assertion that breaks the schema.

    Hints at other schemas are dropped first: libxml2 would open what they name. So
    are the types of attribute values, which mean nothing here and whose prefix may
    be declared outside what was signed.

    Raises:
        SamlRejected: STRUCTURE.
    """
    for value in assertion.iter(ATTRIBUTE_VALUE):
        value.attrib.pop(_TYPE, None)
    etree.strip_attributes(assertion, *_HINTS)
    schema: etree.XMLSchema | None = getattr(_compiled, "assertion", None)
    if schema is None:
        schema = _compiled.assertion = _compile()
    if not schema.validate(assertion):
        raise SamlRejected(
            SamlReason.STRUCTURE,
            f"the assertion breaks the SAML schema: {str(schema.error_log)[:300]}",
        )


def _compile() -> etree.XMLSchema:
    folder = files("onelogin.saml2") / "schemas"
    with as_file(folder) as path:
        return etree.XMLSchema(file=str(path / "saml-schema-assertion-2.0.xsd"))
