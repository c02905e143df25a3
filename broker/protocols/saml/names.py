"""Namespaces, element names and identifiers of SAML, XML Signature and Encryption."""

from typing import Final

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
EXC_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
XML: Final = "http://www.w3.org/XML/1998/namespace"

RESPONSE: Final = f"{{{SAMLP}}}Response"
STATUS: Final = f"{{{SAMLP}}}Status"
STATUS_CODE: Final = f"{{{SAMLP}}}StatusCode"
STATUS_MESSAGE: Final = f"{{{SAMLP}}}StatusMessage"
EXTENSIONS: Final = f"{{{SAMLP}}}Extensions"

ASSERTION: Final = f"{{{SAML}}}Assertion"
ENCRYPTED_ASSERTION: Final = f"{{{SAML}}}EncryptedAssertion"
ISSUER: Final = f"{{{SAML}}}Issuer"
SUBJECT: Final = f"{{{SAML}}}Subject"
NAME_ID: Final = f"{{{SAML}}}NameID"
SUBJECT_CONFIRMATION: Final = f"{{{SAML}}}SubjectConfirmation"
SUBJECT_CONFIRMATION_DATA: Final = f"{{{SAML}}}SubjectConfirmationData"
CONDITIONS: Final = f"{{{SAML}}}Conditions"
AUDIENCE_RESTRICTION: Final = f"{{{SAML}}}AudienceRestriction"
AUDIENCE: Final = f"{{{SAML}}}Audience"
ONE_TIME_USE: Final = f"{{{SAML}}}OneTimeUse"
PROXY_RESTRICTION: Final = f"{{{SAML}}}ProxyRestriction"
AUTHN_STATEMENT: Final = f"{{{SAML}}}AuthnStatement"
ATTRIBUTE_STATEMENT: Final = f"{{{SAML}}}AttributeStatement"
ATTRIBUTE: Final = f"{{{SAML}}}Attribute"
ATTRIBUTE_VALUE: Final = f"{{{SAML}}}AttributeValue"

SIGNATURE: Final = f"{{{DSIG}}}Signature"

VERSION: Final = "2.0"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
STATUS_SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
ENTITY_FORMAT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
POST_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
REDIRECT_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"

NAME_CHARACTERS_MAX: Final = 1024
"""Of a NameID, also in a LogoutRequest, which else could not end the session."""
