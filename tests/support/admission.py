"""Evaluates the admission policies of samples/kubernetes, as the API server does.

The expressions run in CEL's own C++ implementation. It does not know the types of
Kubernetes, so `Object.spec…{name: x}` becomes a map, and the merge that follows is done
here for what the policy adds.
"""

import copy
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpatch
import yaml
from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

SAMPLE = Path(__file__).parents[2] / "samples" / "kubernetes" / "pod-roles.yaml"
PREFIX = "eks.amazonaws.com/"
CONTAINERS = ("containers", "initContainers")

_TYPED = re.compile(r"\b(?:Object|JSONPatch)(?:\.\w+)*\{")
_MEMBER = re.compile(r"([{,]\s*)(\w+):(?=\s)")
_LIST = cel.Type.List(cel.Type.DYN)
_SLICE = cel.FunctionDecl(
    "slice",
    [
        cel.Overload(
            "list_slice",
            return_type=_LIST,
            parameters=[_LIST, cel.Type.INT, cel.Type.INT],
            is_member=True,
            impl=lambda items, first, end: items[first:end],
        )
    ],
)
"""Kubernetes has it, CEL's standard library does not."""

_ENVIRONMENT = cel.NewEnv(
    variables=dict.fromkeys(
        ("object", "params", "variables", "claims", "user"), cel.Type.DYN
    ),
    extensions=[
        ext_strings.ExtStrings(),
        ext_optional.ExtOptional(),
        cel.CelExtension("lists", [_SLICE]),
    ],
)


@dataclass(frozen=True)
class Policy:
    """The ``spec`` of a policy."""

    spec: Mapping[str, Any]

    @classmethod
    def of_kind(cls, kind: str) -> "Policy":
        (results,) = [each for each in documents() if each["kind"] == kind]
        return cls(results["spec"])

    def mutations(
        self, pod: Mapping[str, Any], account: Mapping[str, Any]
    ) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]] | None:
        """The patch and the configuration to apply, unless a condition does not hold."""
        params: dict[str, Any] = {"object": pod, "params": account}
        if not all(
            evaluate(condition["expression"], params)
            for condition in self.spec["matchConditions"]
        ):
            return None
        params["variables"] = self._variables(params)
        first, second = self.spec["mutations"]
        return (
            evaluate(first["jsonPatch"]["expression"], params),
            evaluate(second["applyConfiguration"]["expression"], params),
        )

    def mutate(
        self, pod: Mapping[str, Any], account: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The pod that is created."""
        results = self.mutations(pod, account)
        if results is None:
            return pod
        patch, configuration = results
        made: dict[str, Any] = jsonpatch.apply_patch(
            copy.deepcopy(dict(pod)), [dict(item) for item in patch]
        )
        for kind in CONTAINERS:
            for added in configuration["spec"][kind]:
                (entry,) = [c for c in made["spec"][kind] if c["name"] == added["name"]]
                for members in ("env", "volumeMounts"):
                    entry[members] = [*entry.get(members, []), *added[members]]
        return made

    def messages(self, account: Mapping[str, Any]) -> list[str]:
        """What the one who writes this service account is told."""
        params: dict[str, Any] = {"object": account}
        params["variables"] = self._variables(params)
        return [
            validation["message"]
            for validation in self.spec["validations"]
            if not evaluate(validation["expression"], params)
        ]

    def _variables(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        results: dict[str, Any] = {}
        for variable in self.spec["variables"]:
            results[variable["name"]] = evaluate(
                variable["expression"], {**params, "variables": results}
            )
        return results


def documents() -> list[dict[str, Any]]:
    """The objects of the sample."""
    return list(yaml.safe_load_all(SAMPLE.read_text()))


def service_account(name: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    """One with these annotations, written without their prefix."""
    return {"metadata": {"name": name, **annotated(annotations)}}


def annotated(annotations: Mapping[str, str]) -> dict[str, Any]:
    """Metadata; without annotations the member is absent, as in the API."""
    if not annotations:
        return {}
    return {"annotations": {PREFIX + name: v for name, v in annotations.items()}}


def evaluate(expression: str, params: Mapping[str, Any]) -> Any:
    """What an expression of the API server's makes of these variables."""
    return _compiled(expression).eval(data=params).plain_value()


@functools.cache
def _compiled(expression: str) -> cel.Expression:
    untyped = _MEMBER.sub(r'\1"\2":', _TYPED.sub("{", expression))
    return _ENVIRONMENT.compile(untyped)
