"""The admission policies for pods: every case of pod_roles.yaml, and every warning."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.admission import (
    CONTAINERS,
    PREFIX,
    Policy,
    annotated,
    documents,
    service_account,
)
from tests.support.rows import rows

CASES = yaml.safe_load(Path(__file__).with_name("pod_roles.yaml").read_text())["cases"]
MUTATING = Policy.of_kind("MutatingAdmissionPolicy")
VALIDATING = Policy.of_kind("ValidatingAdmissionPolicy")
ROLE = "arn:aws:iam::123456789012:role/Reports"
VOLUME = "aws-iam-token"


def pod_of(case: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "reports",
            **annotated(case.get("pod", {})),
            **case.get("metadata", {}),
        },
        "spec": {
            "serviceAccountName": "reports",
            "containers": [{"name": "main", "image": "i"}],
            **case.get("spec", {}),
        },
    }


def account_of(case: Mapping[str, Any]) -> dict[str, Any]:
    name = pod_of(case)["spec"]["serviceAccountName"]
    return service_account(name, case["account"])


def take_away(pod: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was added to a pod, which is then as it was ``before``."""
    volumes = pod["spec"].get("volumes", [])
    if [volume["name"] for volume in volumes].count(VOLUME) == 0:
        return None
    token = take(volumes, before["spec"].get("volumes", []))
    assert token["name"] == VOLUME
    ((_, source),) = token["projected"]["sources"][0].items()
    results: dict[str, Any] = {"token": source}
    if "volumes" not in before["spec"]:
        del pod["spec"]["volumes"]
    for kind in CONTAINERS:
        changed = {}
        for entry, old in zip(
            pod["spec"].get(kind, []), before["spec"].get(kind, []), strict=True
        ):
            if entry == old:
                continue
            own = len(old.get("env", []))
            names = {each["name"]: each["value"] for each in entry["env"][own:]}
            mount = entry["volumeMounts"][-1]
            assert (mount["name"], mount["readOnly"]) == (VOLUME, True)
            changed[entry["name"]] = {"env": names, "mount": mount["mountPath"]}
            del entry["env"][own:]
            entry["volumeMounts"].pop()
            for members in ("env", "volumeMounts"):
                if members not in old:
                    assert entry.pop(members) == []
        if changed:
            results[kind] = changed
    return results


def take(items: list[Any], before: Sequence[Any]) -> Any:
    """The one item that was not there before."""
    (new,) = [item for item in items if item not in before]
    items.remove(new)
    return new


@rows("case", CASES, ids=lambda case: case["name"])
def test_what_a_pod_gets(case: Mapping[str, Any]) -> None:
    before = pod_of(case)
    made = copy.deepcopy(dict(MUTATING.mutate(before, account_of(case))))
    assert take_away(made, before) == case["added"]
    assert made == before


@rows("case", CASES, ids=lambda case: case["name"])
def test_a_pod_is_changed_once(case: Mapping[str, Any]) -> None:
    """The API server calls the policy again after other changes."""
    made = MUTATING.mutate(pod_of(case), account_of(case))
    assert MUTATING.mutate(made, account_of(case)) == made


def test_a_container_that_came_later_gets_the_rest() -> None:
    case = {"account": {"role-arn": ROLE}}
    made = copy.deepcopy(dict(MUTATING.mutate(pod_of(case), account_of(case))))
    before = copy.deepcopy(made)
    made["spec"]["containers"].append({"name": "late", "image": "i"})
    again = MUTATING.mutate(made, account_of(case))
    assert again["spec"]["volumes"] == before["spec"]["volumes"]
    main, late = again["spec"]["containers"]
    assert [main] == before["spec"]["containers"]
    assert late == {**main, "name": "late"}


def test_a_container_that_has_the_mount_gets_no_second_one() -> None:
    case = {"account": {"role-arn": ROLE}}
    made = MUTATING.mutate(pod_of(case), account_of(case))
    half = copy.deepcopy(dict(made))
    half["spec"]["containers"][0]["env"] = []
    assert MUTATING.mutate(half, account_of(case)) == made


def test_other_service_accounts_of_the_namespace_do_not_count() -> None:
    """The binding offers each of them."""
    case = {"account": {"role-arn": ROLE}}
    other = service_account("other", case["account"])
    assert MUTATING.mutations(pod_of(case), other) is None
    unnamed = {"metadata": {}, "spec": {"containers": []}}
    assert MUTATING.mutations(unnamed, other) is None
    assert MUTATING.mutations(unnamed, service_account("default", case["account"]))


@rows("annotations, named", ids=str)
def test_who_writes_an_unusable_annotation_is_warned(
    annotations: Mapping[str, str], named: list[str]
) -> None:
    told = VALIDATING.messages(service_account("reports", annotations))
    assert [text.split()[0] for text in told] == [PREFIX + name for name in named]


def test_a_role_that_counts_is_one_without_a_warning() -> None:
    """Both policies look for the same ARNs."""
    for case in CASES:
        account = account_of(case)
        warned = any("role-arn" in text for text in VALIDATING.messages(account))
        named = "role-arn" in case["account"]
        reached = MUTATING.mutations(pod_of(case), account) is not None
        assert reached == (named and not warned)


def test_the_policies_are_bound() -> None:
    """Only new pods are changed, and kube-system's are left alone."""
    by_kind = {each["kind"]: each for each in documents()}
    for kind in ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy"):
        binding = by_kind[f"{kind}Binding"]["spec"]
        assert binding["policyName"] == by_kind[kind]["metadata"]["name"]
        (chosen,) = binding["matchResources"]["namespaceSelector"]["matchExpressions"]
        assert (chosen["operator"], chosen["values"]) == ("NotIn", ["kube-system"])
    (rule,) = MUTATING.spec["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["CREATE"], ["pods"])
    offered = by_kind["MutatingAdmissionPolicyBinding"]["spec"]["paramRef"]
    assert offered == {"selector": {}, "parameterNotFoundAction": "Allow"}
    assert by_kind["ValidatingAdmissionPolicyBinding"]["spec"]["validationActions"] == [
        "Warn"
    ]
