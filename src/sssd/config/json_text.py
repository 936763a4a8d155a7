"""JSON as people write it: with comments and trailing commas, as in the configuration that SSSD-ECG publishes."""

from __future__ import annotations

import json
import re
from typing import Any

from ..checks import warn

_TEXT_OR_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|#[^\n]*|/\*.*?\*/', re.DOTALL)
_TEXT_OR_COMMA = re.compile(r'("(?:[^"\\\n]|\\.)*")|(?<=[^\s,\[{:]),(?=\s*[\]}])')


def parse_json(text: str, source: str) -> Any:
    """The value of a JSON text, which may have comments (//, #, /* */) and trailing commas; these are warned of.

    ValueError, which names the line, for other mistakes and for a key that is there twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError:
        pass
    except _Twice as error:
        raise ValueError(f"{source}: {error}") from None
    plain = _TEXT_OR_COMMENT.sub(lambda found: found[1] or re.sub(r"[^\n]", " ", found[0]), text)
    commas: list[int] = []

    def without(found: re.Match[str]) -> str:
        if found[1] is None:
            commas.append(found.start())
        return found[1] or " "

    strict = _TEXT_OR_COMMA.sub(without, plain)
    try:
        value = json.loads(strict, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"{source}, {at}: not valid JSON ({error.msg})") from None
    except _Twice as error:
        raise ValueError(f"{source}: {error}") from None
    odd = ["comments"] * (plain != text)
    if commas:
        lines = list(dict.fromkeys(str(plain.count("\n", 0, at) + 1) for at in commas))
        where = (
            f"line{'s' if len(lines) > 1 else ''} {', '.join(lines[:8])}{' ...' if len(lines) > 8 else ''}"
        )
        odd.append(f"trailing commas ({where})")
    warn(f"{source} has {' and '.join(odd)}, which JSON does not have; it is read without them")
    return value


class _Twice(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"the key {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return content
