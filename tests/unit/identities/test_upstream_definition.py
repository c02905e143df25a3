"""Which upstream a role has."""

import json

from broker.identities.upstream_definition import find_upstream_role, parse_upstream

AWS = "arn:aws:iam::999988887777:role"
UPSTREAMS = {
    name: parse_upstream(
        json.dumps({"Endpoint": "https://sts.example", "Roles": roles})
    )
    for name, roles in {
        "all": {"*": f"{AWS}/broker/{{RoleName}}"},
        "one": {"ReadOnly": f"{AWS}/Auditor"},
    }.items()
}


def test_an_upstream_that_names_a_role_comes_before_one_for_all_others() -> None:
    assert find_upstream_role("ReadOnly", UPSTREAMS) == ("one", f"{AWS}/Auditor")
    assert find_upstream_role("Admin", UPSTREAMS) == ("all", f"{AWS}/broker/Admin")
    only = {"one": UPSTREAMS["one"]}
    assert find_upstream_role("Admin", only) is None
