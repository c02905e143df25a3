"""Pages for people: the frame of all of them, signing in, the portal, one's own access.

A client of the pipeline: a cookie resolves to a caller, and everything a page does
passes the same authorization and audit as an API call. Every page works without
JavaScript, except for passkeys. `visit` is a request to a page, `context` and
`page_frame` what pages share, `routes` has their addresses; the folders are `signin`,
`portal` and `pages`. What a browser may be sent to is in `destinations`, what waits for
it in `parked`.

How a proof is verified is for `broker.proofs`; what a page may do, for the actions that
it calls; the pages for administrators are `broker.administration`.
"""
