import pytest

from broker.policy import KeyType, find_context_key, known_claims


@pytest.mark.parametrize(
    ("issuer", "claim"),
    [
        ("token.actions.githubusercontent.com", "job_workflow_ref"),
        ("Token.Actions.GithubUserContent.com", "repository"),
        ("token.actions.githubusercontent.com/example", "environment"),
        ("token.actions.example.ghe.com", "enterprise_id"),
        ("gitlab.com", "ref_protected"),
        ("agent.buildkite.com", "pipeline_slug"),
        ("agent.example.buildkite.dev", "build_branch"),
        ("accounts.google.com", "google/organization_number"),
        ("oidc.circleci.com/org/1b2c", "oidc.circleci.com/project-id"),
        ("idcs-1a2b.identity.oraclecloud.com", "rpst_id"),
    ],
)
def test_what_aws_documents_is_known(issuer: str, claim: str) -> None:
    assert claim in known_claims(issuer)
    found = find_context_key(f"{issuer}:{claim}".upper())
    assert found is not None
    assert (found.type is KeyType.NUMERIC) == claim.startswith("google")
    assert not found.multivalued


@pytest.mark.parametrize(
    "issuer",
    [
        "gitlab.example.com",
        "gitlab.com/x",
        "xgitlab.com",
        "token.actions.ghe.com",
        "token.actions.a.b.ghe.com.evil.example",
        "token.actions.githubusercontent.com/a/b",
        "tokenxactions.githubusercontent.com",
        "oidc.circleci.com/org/",
        "oidc.circleci.com/org/a/b",
    ],
)
def test_an_issuer_that_only_resembles_has_none(issuer: str) -> None:
    assert not known_claims(issuer)
    assert find_context_key(f"{issuer}:repository") is None
