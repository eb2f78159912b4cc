"""Forms: what a task asks for, told to people field by field, and asked on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from cli.output import clean, compact, err
from cli.reading import BadInput, made_of
from hybrid.errors import InvalidMessage
from hybrid.mediator.answers import filled_in

_RULES = {
    "minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}",
    "minLength": "{} characters or more", "maxLength": "{} characters at most", "pattern": "like {}",
    "minItems": "{} or more", "maxItems": "{} at most", "multipleOf": "a multiple of {}",
}  # fmt: skip


class Field(NamedTuple):
    """A field of a form: its name, what goes into it, and what it is about ("" for what is not said)."""

    name: str
    rule: str
    is_required: bool
    about: str = ""


def fields_of(schema: dict[str, Any]) -> list[Field]:
    """Return the fields of a JSON schema."""
    required, defs = schema.get("required", ()), schema.get("$defs", {})
    return [
        Field(name, _rule(facts, defs), name in required, clean(facts.get("description", "")))
        for name, facts in schema.get("properties", {}).items()
    ]


def _rule(facts: dict[str, Any], defs: dict[str, Any]) -> str:
    """Return what a value must be, in words: `number, > 0`; and what it is when nothing is said."""
    rules = [_kind(facts, defs)]
    for part in (facts, *facts.get("anyOf", ())):
        rules += [words.format(_plain(part[name])) for name, words in _RULES.items() if name in part]
    if facts.get("default") is not None:
        rules.append(f"otherwise {compact(facts['default'])}")
    return clean(", ".join(dict.fromkeys(rules)))


def _plain(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _kind(facts: dict[str, Any], defs: dict[str, Any]) -> str:
    facts = defs.get(str(facts.get("$ref", "")).rpartition("/")[2], facts)
    if "enum" in facts or "const" in facts:
        return " | ".join(map(str, facts.get("enum", [facts.get("const")])))
    if "anyOf" in facts:
        kinds = [_kind(each, defs) for each in facts["anyOf"] if each.get("type") != "null"]
        is_decimal = sorted(kinds) == ["a number", "text"]
        return "a number" if is_decimal else " or ".join(dict.fromkeys(kinds))
    if facts.get("type") == "array":
        return f"a list of {_kind(facts.get('items', {}), defs)}, as JSON"
    if facts.get("type") == "object":
        return f"{{{', '.join(facts.get('properties', {'…': None}))}}}, as JSON"
    words = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return str(facts.get("format") or words.get(str(facts.get("type")), "anything"))


def ask_choice(choices: Sequence[str]) -> str:
    """Ask which; a choice by its number or its word. Raises BadInput when nobody answers."""
    for number, choice in enumerate(choices, 1):
        err(f"  {number}  {choice}")
    while True:
        answer = _line("choice: ")
        if answer in choices:
            return answer
        if answer.isdecimal() and 0 < int(answer[:4]) <= len(choices):
            return choices[int(answer) - 1]
        err(f"  one of {', '.join(choices)}, or its number")


def ask_form(model: type[BaseModel], id: str) -> dict[str, Any]:
    """Ask for each field until it is right. Raises BadInput when nobody answers."""
    words: list[str] = []
    for field in fields_of(model.model_json_schema(by_alias=False)):
        about = f" - {field.about}" if field.about else ""
        prompt = f"{field.name} ({field.rule}){about}: "
        while answer := _line(prompt, may_be_empty=not field.is_required):
            word = f"{field.name}={answer}"
            if wrong := _wrong(model, id, [*words, word], field.name):
                err(f"  {wrong}")
                continue
            words.append(word)
            break
    return made_of(words, lambda data: filled_in(model, data, id))


def _wrong(model: type[BaseModel], id: str, words: Sequence[str], name: str) -> str:
    """Return the rule that the value of a field breaks, "" for none; others are still to come."""
    try:
        made_of(words, lambda data: filled_in(model, data, id))
    except InvalidMessage as error:
        return "; ".join(rule for field, rule in error.problems if field.partition(".")[0] == name)
    except BadInput as error:
        return str(error)
    return ""


def _line(prompt: str, may_be_empty: bool = False) -> str:
    while True:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        given = sys.stdin.readline()
        if not given:
            raise BadInput("nobody answered, and nothing was changed")
        if may_be_empty or given.strip():
            return given.strip()
