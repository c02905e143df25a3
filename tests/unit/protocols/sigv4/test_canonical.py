"""The canonical path, as botocore signs it."""

from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st

from broker.protocols.sigv4.canonical import canonical_path

SIGNER = SigV4Auth(Credentials("a", "b"), "orders", "eu-west-1")
SEGMENTS = st.lists(
    st.sampled_from(
        ["", ".", "..", "...", ".a", "a.", "orders", "7", "a-b_c~d", "a b", "%20", "é"]
    ),
    max_size=6,
)


@given(SEGMENTS)
@example(["orders", ".."])
@example(["a", "."])
@example(["a", "", "b"])
@example(["a\n"])
def test_the_path_is_that_of_botocore(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    expected = SIGNER._normalize_url_path(path)
    assert canonical_path(path.encode()) == expected.encode()
