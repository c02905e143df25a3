"""SCIM 2.0 as identity providers use it: resources, filters, patches, discovery.

`scim2-models` has the schemas and the grammar. What is here is the part of them that
the broker has a use for, the bounds, and what real clients send.

Source: RFC 7643, RFC 7644; Microsoft Entra, "Develop and plan provisioning for a SCIM
endpoint"; Okta, "SCIM 2.0 protocol reference".
"""
