"""Pages: sign-in, the role page, the federation endpoint, the console.

A client of the pipeline: a cookie resolves to a caller, and whatever a page does goes
through the same gates and the same audit as the API. All of it works without
JavaScript; all text is in the templates.
"""
