from broker.policy import KeyType, find_context_key, known_claims
from tests.support.rows import rows


@rows("issuer, claim")
def test_what_aws_documents_is_known(issuer: str, claim: str) -> None:
    assert claim in known_claims(issuer)
    context_key = find_context_key(f"{issuer}:{claim}".upper())
    assert context_key is not None
    assert (context_key.type is KeyType.NUMERIC) == claim.startswith("google")
    assert not context_key.multivalued


@rows("issuer")
def test_an_issuer_that_only_resembles_has_none(issuer: str) -> None:
    assert not known_claims(issuer)
    assert find_context_key(f"{issuer}:repository") is None
