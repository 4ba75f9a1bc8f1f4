"""Check the form of a configuration: YAML, keys, types and ranges.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match

from sidekick.errors import SidekickError


class _StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, where YAML would keep the last one silently."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        seen = set()
        # Before `<<: *block` is resolved, whose keys the mapping's own may override.
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise SidekickError(
                    f"{key.start_mark.name}, line {key.start_mark.line + 1}: the key "
                    f"'{key.value}' stands twice in one block; keep one of them"
                )
            seen.add((key.tag, key.value))
        return node


def check_file(path: str | Path) -> None:
    """Refuse a configuration file that is not YAML, has no keys or repeats one.

    Raises
    ------
    SidekickError
        Naming the file and the line.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            content = yaml.load(stream, _StrictLoader)
    except OSError as error:
        raise SidekickError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        # Of dates that no calendar has, and of bytes that are no text, YAML says so by ValueError.
        raise SidekickError(f"{path}: not a YAML file: {error}") from None
    except RecursionError:
        raise SidekickError(f"{path}: too many blocks within blocks for a YAML file") from None
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise SidekickError(f"{path}: {found}; a configuration is a mapping of keys to values")


def check_form(config: Mapping[str, Any], schema_path: str | Path) -> None:
    """Refuse a configuration that breaks the schema.

    Raises
    ------
    SidekickError
        Naming the key's path, its value and what is allowed.
    """
    _check_plain((), config)
    with open(schema_path, encoding="utf-8") as stream:
        schema = yaml.safe_load(stream)
    error = best_match(_Validator(schema).iter_errors(config))
    if error is not None:
        raise SidekickError(_explain(error))


def suggest(word: str, choices: Iterable[str]) -> str:
    """List what is allowed, and what was probably meant."""
    choices = sorted(choices)
    close = difflib.get_close_matches(word, choices, 1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f". Allowed: {', '.join(choices)}.{hint}"


def check_parts(path: str, recipe: Mapping[str, Any]) -> None:
    """Refuse a training whose batches cannot be computed in so many parts."""
    parts, batch = recipe.get("accumulation", 1), recipe["batch_size"]
    if batch % parts or batch < 2 * parts:
        raise SidekickError(
            f"{path}.accumulation: {parts} parts of a batch of {batch}; allowed are divisors of "
            "the batch size that leave at least 2 images per part"
        )


def _check_plain(path: tuple, value: Any) -> None:
    """Refuse what YAML can say but JSON cannot: keys that are not text, NaN and infinity."""
    place = ".".join(map(str, path)) or "the top level"
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise SidekickError(
                    f"{place}: the key {key!r} is not text but of type {type(key).__name__}; "
                    "put it in quotes"
                )
            _check_plain((*path, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_plain((*path, index), inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise SidekickError(f"{place}: {value} is not a finite number")
    elif value is not None and not isinstance(value, str | int | float):
        raise SidekickError(
            f"{place}: {value} is of type {type(value).__name__}; put it in quotes if text is meant"
        )


def _is_integer(_, value: Any) -> bool:
    """JSON Schema calls 2.0 an integer; Python's `range` does not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _pattern(_, pattern: str, value: Any, __):
    """Match to the end: `$` alone would let a trailing line break pass."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = validators.extend(
    Draft202012Validator,
    {"pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


_IDENTIFIER = "a legal id (lower-case letters, digits and _, first a letter, at most 64 characters)"
_PATTERNS = {
    "^https?://.+$": "a URL that starts with https:// or http://",
    "^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$": (
        "a checksum: md5: and 32, or sha256: and 64 hexadecimal digits in lower case"
    ),
}


def _explain(error: ValidationError) -> str:
    """Say in one sentence where, what and what instead."""
    path = ".".join(str(part) for part in error.absolute_path) or "the top level"
    value, allowed = error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = error.schema.get("properties", {})
            unknown = next(key for key in value if key not in known)
            return f"{path}: unknown key '{unknown}'" + suggest(str(unknown), known)
        case "required":
            missing = next(key for key in allowed if key not in value)
            return f"{path}: the key '{missing}' is missing"
        case "type":
            kinds = [allowed] if isinstance(allowed, str) else allowed
            hint = _number_hint(value, kinds)
            return f"{path}: {value!r} is not of type {' or '.join(kinds)}{hint}"
        case "enum":
            return f"{path}: {value!r} is not allowed. Allowed: {', '.join(map(str, allowed))}"
        case "pattern" | "maxLength" if "pattern" in error.schema:
            wanted = _PATTERNS.get(error.schema["pattern"], _IDENTIFIER)
            return f"{path}: {value!r} is not {wanted}"
        case "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum":
            sign = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
            return f"{path}: {value!r} must be {sign.get(error.validator, '<')} {allowed}"
        case "minItems" | "minProperties" | "minLength":
            return f"{path}: {value!r} is empty or too short, at least {allowed} needed"
        case "maxItems":
            return f"{path}: {value!r} is too long, at most {allowed} allowed"
        case "uniqueItems":
            return f"{path}: {value!r} names something twice"
        case _:
            return f"{path}: {error.message}"


def _number_hint(value: Any, kinds: Sequence[str]) -> str:
    """Explain YAML's reading of 1e-3, which it takes for text."""
    if "number" in kinds and isinstance(value, str):
        try:
            return f"; write {Decimal(value):f} without quotes"
        except InvalidOperation:
            pass
    return ""
