"""Reviews as the API server sends them, by its documentation; no cluster was asked."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from broker.webhook.admission import (
    Injection,
    ReviewError,
    Verdict,
    answer,
    decide,
    parse_review,
)

REVIEWS = Path(__file__).parent / "reviews"
ROLE = "arn:aws:iam::123456789012:role/team/Reports"
NAMED = {"eks.amazonaws.com/role-arn": ROLE}
GIVEN = Injection(sts_endpoint="https://broker.example.com", region="eu-west-1")
PATH = "/var/run/secrets/eks.amazonaws.com/serviceaccount"


def review(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REVIEWS / f"{name}.json").read_text())
    return found


def verdict(
    document: dict[str, Any],
    annotations: dict[str, str] = NAMED,
    given: Injection = GIVEN,
) -> Verdict:
    _, found = parse_review(json.dumps(document).encode())
    assert found is not None
    return decide(found, annotations, given)


def patched(
    document: dict[str, Any],
    annotations: dict[str, str] = NAMED,
    given: Injection = GIVEN,
) -> dict[str, Any]:
    """The pod after the answer, by a library's reading of RFC 6902."""
    response = answer("1", verdict(document, annotations, given))["response"]
    assert response["allowed"] is True
    pod = copy.deepcopy(document["request"]["object"])
    if "patch" not in response:
        return pod
    assert response["patchType"] == "JSONPatch"
    changed: dict[str, Any] = jsonpatch.apply_patch(
        pod, base64.b64decode(response["patch"]).decode()
    )
    return changed


def environment(container: dict[str, Any]) -> dict[str, str]:
    names = [one["name"] for one in container.get("env", [])]
    assert len(set(names)) == len(names)
    return {one["name"]: one["value"] for one in container.get("env", [])}


ADDED = {
    "AWS_ROLE_ARN": ROLE,
    "AWS_WEB_IDENTITY_TOKEN_FILE": f"{PATH}/token",
    "AWS_ENDPOINT_URL_STS": "https://broker.example.com",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


def test_a_deployments_pod() -> None:
    before = review("deployment")["request"]["object"]
    after = patched(review("deployment"))
    (container,) = after["spec"]["containers"]
    assert environment(container) == {"LEVEL": "info", **ADDED}
    mount = {"name": "aws-iam-token", "mountPath": PATH, "readOnly": True}
    assert container["volumeMounts"][-1] == mount
    *others, volume = after["spec"]["volumes"]
    assert others == before["spec"]["volumes"]
    token = {
        "audience": "sts.amazonaws.com",
        "expirationSeconds": 86_400,
        "path": "token",
    }
    assert volume == {
        "name": "aws-iam-token",
        "projected": {"sources": [{"serviceAccountToken": token}]},
    }
    # Nothing else has changed.
    container["env"] = container["env"][:1]
    container["volumeMounts"].pop()
    after["spec"]["volumes"].pop()
    assert after == before


def test_lists_that_are_not_there_are_made() -> None:
    after = patched(review("without_lists"))
    (container,) = after["spec"]["containers"]
    assert environment(container) == ADDED
    assert len(container["volumeMounts"]) == len(after["spec"]["volumes"]) == 1


def test_every_container_but_those_that_are_skipped_or_have_their_own() -> None:
    before = review("job_with_sidecars")["request"]["object"]["spec"]
    after = patched(review("job_with_sidecars"))["spec"]
    migrate, proxy = after["initContainers"]
    reports, own_role, own_region = after["containers"]
    assert environment(migrate) == environment(reports) == ADDED
    assert proxy == before["initContainers"][1]
    assert own_role == before["containers"][1]
    # The AWS CLI and boto3 read AWS_DEFAULT_REGION, others AWS_REGION.
    assert environment(own_region) == {**ADDED, "AWS_REGION": "eu-north-1"}
    (source,) = after["volumes"][-1]["projected"]["sources"]
    assert source["serviceAccountToken"]["expirationSeconds"] == 7200


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ],
)
def test_credentials_of_its_own(name: str) -> None:
    document = review("deployment")
    (container,) = document["request"]["object"]["spec"]["containers"]
    container["env"].append({"name": name, "value": "mine"})
    assert not verdict(document).patch


@pytest.mark.parametrize("name", [path.stem for path in REVIEWS.iterdir()])
def test_a_pod_is_changed_once(name: str) -> None:
    once = review(name)
    once["request"]["object"] = patched(once)
    assert not verdict(once).patch


def test_a_container_that_came_later_gets_what_the_others_have() -> None:
    document = review("deployment")
    document["request"]["object"] = patched(document)
    spec = document["request"]["object"]["spec"]
    spec["containers"].append({"name": "late", "image": "late"})
    after = patched(document)["spec"]
    assert environment(after["containers"][1]) == ADDED
    assert after["volumes"] == spec["volumes"]
    assert after["containers"][0] == spec["containers"][0]


def test_annotations_of_the_service_account() -> None:
    more = {
        **NAMED,
        "eks.amazonaws.com/audience": "broker",
        "eks.amazonaws.com/sts-regional-endpoints": "false",
        "eks.amazonaws.com/token-expiration": "3600",
    }
    after = patched(review("deployment"), more)["spec"]
    (source,) = after["volumes"][-1]["projected"]["sources"]
    token = source["serviceAccountToken"]
    assert token == {"audience": "broker", "expirationSeconds": 3600, "path": "token"}
    found = environment(after["containers"][0])
    assert found["AWS_STS_REGIONAL_ENDPOINTS"] == "legacy"
    on = {**more, "eks.amazonaws.com/sts-regional-endpoints": "true"}
    found = environment(patched(review("deployment"), on)["spec"]["containers"][0])
    assert found["AWS_STS_REGIONAL_ENDPOINTS"] == "regional"


def test_another_prefix_and_place() -> None:
    given = Injection(
        sts_endpoint="https://sts.example.com/a",
        annotation_prefix="broker.example.com",
        audience="b",
        token_seconds=600,
        mount_path="/run/broker",
    )
    assert verdict(review("deployment"), NAMED, given) == Verdict()
    named = {"broker.example.com/role-arn": ROLE}
    after = patched(review("deployment"), named, given)["spec"]
    assert environment(after["containers"][0]) == {
        "LEVEL": "info",
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/run/broker/token",
        "AWS_ENDPOINT_URL_STS": "https://sts.example.com/a",
    }


def test_without_the_annotation_nothing_changes() -> None:
    assert verdict(review("deployment"), {}) == Verdict()


@pytest.mark.parametrize(
    "arn",
    [
        "Reports",
        "arn:aws:iam::123:role/Reports",
        "arn:aws:iam::123456789012:user/ana",
        f"{ROLE}\n",
        f"{ROLE} x",
        f"arn:aws:iam::123456789012:role/{'x' * 600}",
    ],
)
def test_what_is_no_role_is_said(arn: str) -> None:
    found = verdict(review("deployment"), {"eks.amazonaws.com/role-arn": arn})
    assert not found.patch
    (warning,) = answer("1", found)["response"]["warnings"]
    assert "is not the ARN of a role" in warning
    assert len(warning) <= 120


def test_a_warning_is_as_long_as_kubernetes_shows() -> None:
    prefix = "x" * 200
    given = Injection(
        sts_endpoint="https://broker.example.com", annotation_prefix=prefix
    )
    found = verdict(review("deployment"), {f"{prefix}/role-arn": "Reports"}, given)
    (warning,) = answer("1", found)["response"]["warnings"]
    assert len(warning) == 120


@pytest.mark.parametrize(
    "text", ["599", "", "-1", "1h", "٣٦٠٠", "4294967297", "9" * 99]
)
def test_a_time_that_kubernetes_would_refuse(text: str) -> None:
    """The pod gets its role with the default time, and its creator gets a warning."""
    annotations = {**NAMED, "eks.amazonaws.com/token-expiration": text}
    found = verdict(review("deployment"), annotations)
    assert len(found.warnings) == 1
    token = found.patch[0]["value"]["projected"]["sources"][0]["serviceAccountToken"]
    assert token["expirationSeconds"] == 86_400


def test_a_mount_of_its_own_at_the_same_path() -> None:
    document = review("deployment")
    (container,) = document["request"]["object"]["spec"]["containers"]
    container["volumeMounts"].append({"name": "mine", "mountPath": f"{PATH}/"})
    assert not verdict(document).patch


@pytest.mark.parametrize("nothing", [None, []])
def test_lists_of_nothing_are_as_none(nothing: object) -> None:
    document = review("deployment")
    spec = document["request"]["object"]["spec"]
    spec["volumes"] = nothing
    spec["containers"] = [{"name": "a", "env": nothing, "volumeMounts": nothing}]
    after = patched(document)["spec"]
    assert environment(after["containers"][0]) == ADDED
    assert len(after["containers"][0]["volumeMounts"]) == len(after["volumes"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "UPDATE"},
        {"subResource": "ephemeralcontainers"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_no_new_pod_is_left_alone(change: dict[str, Any]) -> None:
    document = review("deployment")
    document["request"] |= change
    uid, found = parse_review(json.dumps(document).encode())
    assert (uid, found) == (document["request"]["uid"], None)


def broken() -> dict[str, bytes]:
    def with_(*path: str, value: object) -> bytes:
        document = review("deployment")
        place = document
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        return json.dumps(document).encode()

    return {
        "empty": b"",
        "no_json": b"{",
        "no_text": b"\xff\xfe",
        "deep": b"[" * 200_000,
        "list": b"[]",
        "old_version": with_("apiVersion", value="admission.k8s.io/v1beta1"),
        "other_kind": with_("kind", value="Pod"),
        "no_request": with_("request", value=None),
        "no_uid": with_("request", "uid", value=""),
        "uid_is_a_number": with_("request", "uid", value=1),
        "kind_is_text": with_("request", "kind", value="Pod"),
        "no_object": with_("request", "object", value=None),
        "namespace_climbs": with_("request", "namespace", value="../../secrets"),
        "no_namespace": with_("request", "namespace", value=""),
        "no_spec": with_("request", "object", "spec", value=[]),
        "account_climbs": with_(
            "request", "object", "spec", "serviceAccountName", value="a/../b"
        ),
    }


@pytest.mark.parametrize("name", broken())
def test_a_broken_review_is_refused(name: str) -> None:
    with pytest.raises(ReviewError):
        parse_review(broken()[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("containers", {"a": {}}),
        ("containers", ["x"]),
        ("containers", [{"name": ["web"]}]),
        ("containers", [{"name": "web", "env": [{"name": {}}]}]),
        ("volumes", "x"),
    ],
)
def test_a_broken_pod_is_refused(name: str, value: object) -> None:
    document = review("deployment")
    document["request"]["object"]["spec"][name] = value
    with pytest.raises(ReviewError):
        verdict(document)


def test_annotations_that_are_none_are_refused() -> None:
    document = review("deployment")
    document["request"]["object"]["metadata"]["annotations"] = ["x"]
    with pytest.raises(ReviewError):
        verdict(document)


def test_a_pod_without_an_account_runs_as_the_default_one() -> None:
    document = review("deployment")
    del document["request"]["object"]["spec"]["serviceAccountName"]
    _, found = parse_review(json.dumps(document).encode())
    assert found is not None
    assert (found.namespace, found.service_account) == ("shop", "default")
