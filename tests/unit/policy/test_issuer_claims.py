from broker.policy import KeyType, find_context_key, known_claims
from tests.support.rows import rows


@rows("issuer, claim")
def test_what_aws_documents_is_known(issuer: str, claim: str) -> None:
    assert claim in known_claims(issuer)
    found = find_context_key(f"{issuer}:{claim}".upper())
    assert found is not None
    assert (found.type is KeyType.NUMERIC) == claim.startswith("google")
    assert not found.multivalued


@rows("issuer")
def test_an_issuer_that_only_resembles_has_none(issuer: str) -> None:
    assert not known_claims(issuer)
    assert find_context_key(f"{issuer}:repository") is None
