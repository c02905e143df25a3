import json
from typing import Any

import pytest

from broker.protocols.enforcement import (
    ActionOnResource,
    CompiledService,
    DefinitionRejected,
    parse_definition,
)
from tests.support.rows import of_file, rows

ACCOUNT = "111122223333"
ORDERS: dict[str, Any] = of_file(__file__, "ORDERS")
ARN = f"arn:aws:orders:eu-west-1:{ACCOUNT}:"


def compiled(definition: dict[str, Any] = ORDERS) -> CompiledService:
    return CompiledService(
        parse_definition(json.dumps(definition), "orders"),
        name="orders",
        account=ACCOUNT,
        region="us-east-1",
    )


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/orders", ActionOnResource("orders:ListOrders", "*")),
        ("GET", "/orders/7", ActionOnResource("orders:GetOrder", f"{ARN}order/7")),
        ("HEAD", "/orders/7", ActionOnResource("orders:GetOrder", f"{ARN}order/7")),
        ("PUT", "/orders/7", None),
        ("GET", "/orders/", None),
        ("GET", "/orders/7/", None),
        ("GET", "/Orders/7", None),
        ("GET", "/orders/7/files/", None),
        (
            "DELETE",
            "/orders/7/files/a/{id}",
            ActionOnResource("orders:GetFile", f"{ARN}order/7/a/{{id}}"),
        ),
        ("GET", "/", None),
    ],
)
def test_routes_map_requests(
    method: str, path: str, target: ActionOnResource | None
) -> None:
    assert compiled().find_target(method, path) == target


def test_a_service_that_says_nothing_counts_as_execute_api() -> None:
    service = compiled({})
    assert service.find_target("GET", "/pets/1") == ActionOnResource(
        "execute-api:Invoke",
        f"arn:aws:execute-api:us-east-1:{ACCOUNT}:orders/$default/GET/pets/1",
    )
    assert service.scopes == ("execute-api",)
    assert compiled().scopes == ("orders",)
    assert service.owns_action("execute-api:Invoke")
    for name in ("", "*", "Invoke*", "Inv?ke", "Other"):
        assert not service.owns_action(f"execute-api:{name}")
    assert service.owns_resource(f"arn:aws:execute-api:us-east-1:{ACCOUNT}:orders/x")
    assert not service.owns_resource(f"arn:aws:execute-api:us-east-1:{ACCOUNT}:b/x")


@rows(
    ("change", "place"),
    [
        ({"Unknown": 1}, "Unknown"),
        ({"Scopes": ["sts"]}, "Scopes"),
        ({"Scopes": ["Bad Scope"]}, "Scopes.0"),
        ({"Actions": {"A": {"AccessLevel": "Some"}}}, "Actions.A.AccessLevel"),
        (
            {"Actions": {"A": {"AccessLevel": "Read", "ResourceTypes": ["x"]}}},
            "Actions.A",
        ),
        ({"ConditionKeys": {"aws:PrincipalArn": "ARN"}}, "ConditionKeys.aws"),
        ({"ConditionKeys": {"sts:ExternalId": "String"}}, "ConditionKeys.sts"),
        ({"ConditionKeys": {"orders:a*": "String"}}, "ConditionKeys.orders"),
        ({"ResourceTypes": {"order": "arn:aws:iam::1:x"}}, "ResourceTypes.order"),
        ({"ResourceTypes": {"order": "order/{id}/{id}"}}, "ResourceTypes.order"),
        *(
            ({"ResourceTypes": {"other": f"order/{text}"}}, "ResourceTypes.other")
            for text in (
                *("{order-id}", "{}", "{id", "id}", "{{id}}", "{a b}", "{a+}", "{1}"),
                *("${id}", "*", "{id}*", "?", "{" + "a" * 33 + "}"),
            )
        ),
        ({"Routes": [{"Path": "/x", "Action": "None"}]}, "Routes.0"),
        ({"Routes": [{"Path": "x", "Action": "ListOrders"}]}, "Routes.0"),
        ({"Routes": [{"Path": "/{a+}/b", "Action": "ListOrders"}]}, "Routes.0"),
        ({"Routes": [{"Path": "/{a}/{a}", "Action": "ListOrders"}]}, "Routes.0"),
        ({"Routes": [{"Path": "/a//b", "Action": "ListOrders"}]}, "Routes.0"),
        ({"Routes": [{"Path": "/a{b}", "Action": "ListOrders"}]}, "Routes.0"),
        ({"Routes": [{"Path": "/x", "Action": "GetOrder"}]}, "Routes.0"),
        ({"Routes": [{"Path": "/{id}/{rest}", "Action": "GetFile"}]}, "Routes.0"),
        (
            {
                "Routes": [
                    {
                        "Path": "/{id}/{rest}",
                        "Action": "GetOrder",
                        "ResourceType": "file",
                    }
                ]
            },
            "Routes.0",
        ),
        ({"Routes": [{"Path": "/x", "Action": "A"}] * 201}, "Routes"),
        ({"Signature": {"WindowSeconds": 10_000}}, "Signature.WindowSeconds"),
        ({"Signature": {"WindowSeconds": "60"}}, "Signature.WindowSeconds"),
        (
            {"Signature": {"PresignedSecondsMax": 604_801}},
            "Signature.PresignedSecondsMax",
        ),
        ({"Signature": {"Payloads": ["ANYTHING"]}}, "Signature.Payloads.0"),
        ({"SampleEvery": 0}, "SampleEvery"),
        ({"Stage": "s" * 65}, "Stage"),
        ({"Stage": ""}, "Stage"),
    ],
)
def test_a_definition_that_cannot_stand_is_refused_with_its_place(
    change: dict[str, Any], place: str
) -> None:
    with pytest.raises(DefinitionRejected) as refused:
        parse_definition(json.dumps({**ORDERS, **change}), "orders")
    assert refused.value.problems[0][0].startswith(place), refused.value


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "{" + " " * 70_000 + "}"])
def test_a_malformed_definition_is_refused(text: str) -> None:
    with pytest.raises(DefinitionRejected):
        parse_definition(text, "orders")


def test_a_service_asks_about_its_own_alone() -> None:
    service = compiled()
    assert service.owns_action("orders:getorder")
    assert service.spell_action("ORDERS:getorder") == "orders:GetOrder"
    assert not service.owns_action("orders:Other")
    assert not service.owns_action("iam:GetUser")
    assert not service.owns_action("orders:")
    assert service.owns_resource("*")
    assert service.owns_resource(f"{ARN}order/7")
    assert not service.owns_resource("arn:aws:orders:eu-west-1:999900001111:order/7")
    assert not service.owns_resource(f"arn:aws:iam::{ACCOUNT}:role/Admin")
    assert not service.owns_resource(f"arn:aws-cn:orders:eu-west-1:{ACCOUNT}:order/7")
    assert not service.owns_resource(f"urn:aws:orders:eu-west-1:{ACCOUNT}:order/7")
    assert not service.owns_resource("order/7")
    assert not service.owns_resource(ARN)
    assert not service.owns_resource(f"{ARN}{'x' * 2048}")
    assert service.may_bring("Orders:priority")
    assert service.may_bring("aws:ResourceTag/team")
    assert not service.may_bring("aws:PrincipalTag/team")
    assert not service.may_bring("aws:SourceIp")


PLACES = {
    "Actions": {"Do": {"AccessLevel": "Write"}},
    "Region": "eu-west-1",
    "ResourceTypes": {
        "order": "order/{id}",
        "settings": "settings",
        "pair": "pair/{one}/with/{other}/end",
    },
}


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("settings", "settings"),
        ("settings/x", None),
        ("setting", None),
        ("order/7", "order"),
        ("order/", None),
        ("pair/a/with/b/end", "pair"),
        ("pair/a/b/end", None),
        ("pair/a/with/b", None),
        ("pair//with/b/end", None),
        ("pair/a/with//end", None),
    ],
)
def test_a_resource_has_the_type_whose_pattern_it_fits(
    resource: str, kind: str | None
) -> None:
    assert compiled(PLACES).find_type(f"{ARN}{resource}") == kind


@pytest.mark.parametrize(
    ("kind", "name", "resource"),
    [
        ("order", "7", "order/7"),
        ("order", "7/8", None),
        # Without a placeholder, and with two, a name says nothing.
        ("settings", "settings", None),
        ("settings", "7", None),
        ("pair", "a", None),
        ("unknown", "7", None),
    ],
)
def test_a_name_stands_in_the_place_of_the_only_placeholder(
    kind: str, name: str, resource: str | None
) -> None:
    expected = resource and f"{ARN}{resource}"
    assert compiled(PLACES).find_resource(kind, name) == expected


def test_a_resource_without_a_placeholder_is_named_by_its_arn() -> None:
    service = compiled(PLACES)
    assert service.find_resource("settings", f"{ARN}settings") == f"{ARN}settings"
    assert service.find_resource("order", f"{ARN}settings") is None
