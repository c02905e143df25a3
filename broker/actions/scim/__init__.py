"""SCIM: what a directory does with its token, and what administrators do with tokens.

The operations of a directory bring `scim2-models`, which takes a third of a second to
import; `broker.edges.scim` does so when the first request comes.

Source: IAM Identity Center, "SCIM implementation developer guide", for the names.
"""
