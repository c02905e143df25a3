"""Pages: sign-in, the role page, the federation endpoint, the console.

A client of the pipeline: a cookie resolves to a caller, and everything a page does
passes the same authorization and audit as an API call. Every page works without
JavaScript, except for passkeys.
"""
