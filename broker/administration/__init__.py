"""Pages for administrators of an account: each acts through IAM's actions.

A page has no right of its own: what it shows and does are calls in its user's name, with
their permissions and records. `pages` has all of them; `listing` describes lists,
`buttons` what a page can do, `reading` what it may be refused; the policy editor and the
simulator are the largest parts.

Frame, cookies and forms are the console's, and so are the pages about one's own access.
"""
