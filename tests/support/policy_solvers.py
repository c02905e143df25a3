"""Asks z3 and cvc5 whether a request can be granted by one policy and not by another.

An encoding of its own, as a script in SMT-LIB: it shares nothing with `broker.policy` but
the parsed document. Keys have up to three values; a claim of the broker that there is no
request must hold for these as well.
"""

import ipaddress
import re
from collections.abc import Iterable

from broker.policy import Condition, Effect, PolicyDocument, Statement

SLOTS = 3
SINGLE = frozenset(
    {"aws:username", "aws:epochtime", "aws:sourceip", "aws:securetransport"}
    | {"aws:principalarn", "aws:requestedregion"}
)
NUMBERS = frozenset({"aws:epochtime", "svc:size"})
ADDRESSES = frozenset({"aws:sourceip"})
BOOLEANS = frozenset({"aws:securetransport"})
ARNS = frozenset({"aws:principalarn"})
Z3_MILLISECONDS = 4_000
CVC5_MILLISECONDS = 8_000

_ARN = r'(re.++ (str.to_re "arn:") re.all (str.to_re ":") re.all (str.to_re ":") re.all (str.to_re ":") re.all (str.to_re ":") re.all)'


def is_covered(new: PolicyDocument, old: PolicyDocument) -> bool | None:
    """True if ``new`` grants nothing that ``old`` does not; None if neither knows."""
    script = _script(new, old)
    answer = _ask_z3(script)
    if answer is None:
        answer = _ask_cvc5(script)
    return answer


def _ask_z3(script: str) -> bool | None:
    import z3

    solver = z3.Solver()
    solver.set("timeout", Z3_MILLISECONDS)
    solver.from_string(script)
    return {"unsat": True, "sat": False}.get(str(solver.check()))


def _ask_cvc5(script: str) -> bool | None:
    import cvc5

    solver = cvc5.Solver()
    solver.setOption("tlimit-per", str(CVC5_MILLISECONDS))
    solver.setOption("strings-exp", "true")
    parser = cvc5.InputParser(solver)
    parser.setStringInput(
        cvc5.InputLanguage.SMT_LIB_2_6, "(set-logic ALL)\n" + script, "policies"
    )
    symbols = parser.getSymbolManager()
    while not (command := parser.nextCommand()).isNull():
        command.invoke(solver, symbols)
    result = solver.checkSat()
    return True if result.isUnsat() else False if result.isSat() else None


def _script(new: PolicyDocument, old: PolicyDocument) -> str:
    keys = {
        condition.key.lower()
        for document in (new, old)
        for statement in document.statements
        for condition in statement.conditions
    }
    lines = ["(declare-const action String)", "(declare-const resource String)"]
    for key in sorted(keys):
        sort = "Real" if key in NUMBERS else "Int" if key in ADDRESSES else "String"
        lines.append(f"(declare-const {_present(key)} Bool)")
        for slot in _slots(key):
            lines.append(f"(declare-const {slot} {sort})")
            if key in ARNS:
                lines.append(f"(assert (str.in_re {slot} {_ARN}))")
            if key in BOOLEANS:
                lines.append(f'(assert (or (= {slot} "true") (= {slot} "false")))')
            if key in ADDRESSES:
                lines.append(f"(assert (and (>= {slot} 0) (< {slot} 4294967296)))")
    anything = "(re.++ re.allchar re.all)"
    part = '(re.+ (re.diff re.allchar (str.to_re ":")))'
    lines += [
        f'(assert (str.in_re action (re.++ {part} (str.to_re ":") {anything})))',
        f"(assert {_allows(new)})",
        f"(assert (not {_allows(old)}))",
    ]
    return "\n".join(lines)


def _allows(document: PolicyDocument) -> str:
    rows = {
        effect: [_statement(s) for s in document.statements if s.effect is effect]
        for effect in Effect
    }
    return _and([_or(rows[Effect.ALLOW]), f"(not {_or(rows[Effect.DENY])})"])


def _statement(statement: Statement) -> str:
    actions = _or(_in("action", _plain(a.lower())) for a in statement.actions)
    results = [f"(not {actions})" if statement.not_action else actions]
    resources = _or(_resource(text) for text in statement.resources or ())
    results.append(f"(not {resources})" if statement.not_resource else resources)
    results += [_condition(condition) for condition in statement.conditions]
    return _and(results)


def _resource(text: str) -> str:
    if not text.strip("*"):
        return "true"
    parts = text.split(":", 5)
    complete = [*parts, *["*"] * (6 - len(parts))]
    if any("*" in part[:-1] or "?" in part for part in complete[:-1]):
        return _in("resource", _by_part(complete))
    whole = [_in("resource", _plain(":".join(complete)))]
    if len(parts) < 6:
        whole.append(_in("resource", _plain(text)))
    return _or(whole)


def _by_part(parts: list[str]) -> str:
    closed = '(re.diff re.allchar (str.to_re ":"))'
    rows = [_glob(part, f"(re.* {closed})", closed) for part in parts[:-1]]
    return "(re.++ " + ' (str.to_re ":") '.join([*rows, _plain(parts[-1])]) + ")"


def _plain(pattern: str) -> str:
    return _glob(pattern, "re.all", "re.allchar")


def _glob(pattern: str, star: str, any_: str) -> str:
    pieces = [
        {"*": star, "?": any_}.get(piece, f'(str.to_re "{piece}")')
        for piece in re.split(r"([*?])", pattern)
        if piece
    ]
    if not pieces:
        return '(str.to_re "")'
    return pieces[0] if len(pieces) == 1 else f"(re.++ {' '.join(pieces)})"


def _condition(condition: Condition) -> str:
    key = condition.key.lower()
    quantifier, _, name = condition.operator.rpartition(":")
    present = _present(key)
    if name == "Null":
        return _or(
            f"(not {present})" if value == "true" else present
            for value in condition.values
        )
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = "Not" in name
    tests = [_test(name.replace("Not", ""), s, condition.values) for s in _slots(key)]
    if negated:
        tests = [f"(not {test})" for test in tests]
    every = quantifier == "ForAllValues" or (negated and not quantifier)
    joined = _and(tests) if every else _or(tests)
    if every or if_exists:
        return _or([f"(not {present})", joined])
    return _and([present, joined])


def _test(name: str, slot: str, values: tuple[str, ...]) -> str:
    return _or(_compare(name, slot, value) for value in values)


def _compare(name: str, slot: str, value: str) -> str:  # noqa: PLR0911  # one an operator
    if name == "StringEquals":
        return f'(= {slot} "{value}")'
    if name == "Bool":
        return f'(= {slot} "{value.lower()}")'
    if name == "StringEqualsIgnoreCase":
        letters = [
            f'(re.union (str.to_re "{c.lower()}") (str.to_re "{c.upper()}"))'
            if c != "k"
            else '(re.union (str.to_re "k") (str.to_re "K") (str.to_re "\\u{212a}"))'
            for c in value.lower()
        ]
        return _in(slot, f'(re.++ (str.to_re "") (str.to_re "") {" ".join(letters)})')
    if name == "StringLike":
        return _in(slot, _plain(value))
    if name in {"ArnLike", "ArnEquals"}:
        parts = value.split(":", 5)
        return _in(slot, _by_part(parts)) if len(parts) == 6 else "false"
    if name == "IpAddress":
        network = ipaddress.ip_network(value, strict=False)
        low, high = int(network[0]), int(network[-1])
        return f"(and (>= {slot} {low}) (<= {slot} {high}))"
    relation = {
        "NumericEquals": "=",
        "NumericLessThan": "<",
        "NumericLessThanEquals": "<=",
        "NumericGreaterThan": ">",
        "NumericGreaterThanEquals": ">=",
    }[name]
    return f"({relation} {slot} {float(value)})"


def _in(text: str, pattern: str) -> str:
    return f"(str.in_re {text} {pattern})"


def _present(key: str) -> str:
    return f"|has {key}|"


def _slots(key: str) -> list[str]:
    return [f"|{key} {n}|" for n in range(1 if key in SINGLE else SLOTS)]


def _or(terms: Iterable[str]) -> str:
    rows = list(terms)
    return f"(or false {' '.join(rows)})"


def _and(terms: Iterable[str]) -> str:
    return f"(and true {' '.join(terms)})"
