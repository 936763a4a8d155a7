"""From a sentence to what it asks for: statements, age, sex and heart rate.

    "70-year-old woman, atrial fibrillation with left bundle branch block, rate about 120"

This is a search for known words, without a language model: the longest phrases first, which are the names and aliases
of statements (sssd.labels) and the words in `words.json`. What a sentence denies ("no flutter") is not asked for. All
words that were neither understood nor mere filling are told.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from .labels import CODES, STATEMENTS
from .patient import KNOWN, from_cells, heart_rates

_WORD = re.compile(r"[^\W_]+")
_BREAK = re.compile(r"[.,;:!?\n]+")
_PLURAL = re.compile(r"\((?:s|n|en|er|a)\)")
_ROUGHLY = r"(?:\s*(?:of|about|around|approximately|circa|ca\.?|near|is|at|=|:|~))*\s*"
_BEATS = r"\s*(?:bpm\b|/\s*min\b|beats?\s*(?:per|/|a)\s*min(?:ute)?\b|per\s+min(?:ute)?\b)"
_RATE = re.compile(
    rf"\b(?:(?:heart|ventricular|pulse)\s*rate|rate|hr|pulse|herzfrequenz|frequenz){_ROUGHLY}(\d{{2,3}})\b(?:{_BEATS})?"
    rf"|\b(?:at\s+|about\s+|around\s+)*(\d{{2,3}}){_BEATS}",
    re.IGNORECASE,
)
_UNIT = r"(?P<unit>years?|yrs?|y/?o|y|jahre?|jährige[rn]?|months?|weeks?|days?)"
_AGE = re.compile(
    rf"\b(?P<age>\d{{1,3}})[\s-]*{_UNIT}\b(?:[\s-]*(?:old|of\s+age|alte?r?)\b)?(?:\s*(?P<sex>[mf])\b)?"
    r"|\b(?P<short>\d{1,3})\s*(?P<letter>[mf])\b"
    r"|\b(?:aged?|alter)(?:\s+of)?\s*:?\s*(?P<plain>\d{1,3})\b",
    re.IGNORECASE,
)
_NEAR = 0.87  # similarity of spelling from which a name is suggested


@dataclass(frozen=True)
class Understood:
    """What a sentence asks for.

    statements: codes, in the order of the sentence. age: in years. sex: "female" or "male". heart_rate: in beats per
    minute. Each of these is None where the sentence says nothing of it. found: words of the sentence, and what they
    were taken for. denied: statements that the sentence denies. left: words that were not understood, each with the
    name of a statement that is spelled nearly so, or "".
    """

    statements: tuple[str, ...]
    age: float | None
    sex: str | None
    heart_rate: float | None
    found: tuple[tuple[str, str], ...]
    denied: tuple[str, ...]
    left: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """Return in words what was understood and what was not."""
        listed = ", ".join(f"{words!r} as {meaning}" for words, meaning in self.found)
        said = [f"understood {listed}"] if listed else []
        said += [f"left out, as the text denies it: {', '.join(self.denied)}"] if self.denied else []
        if self.left:
            each = (f"{words!r}{f' (did you mean {near!r}?)' if near else ''}" for words, near in self.left)
            said.append(f"not understood: {', '.join(each)}")
        return said


def taken(understood: Sequence[Understood], takes: Container[str]) -> tuple[list[Understood], list[str]]:
    """Return these without what a model does not take, and what was left out, in words."""
    kept, said = [], []
    for one in understood:
        told = {name: getattr(one, name) for name in KNOWN if getattr(one, name) is not None}
        refused = {name: value for name, value in told.items() if name not in takes}
        said += [
            f"the model takes no {name.replace('_', ' ')}, so that of {_said(value)} in the text is left out"
            for name, value in refused.items()
        ]
        without: dict[str, Any] = dict.fromkeys(refused)
        kept.append(replace(one, **without))
    return kept, list(dict.fromkeys(said))


def understand(text: str, classes: Sequence[str] = CODES) -> Understood:
    """Return what a sentence asks for, of a model with these classes.

    ValueError if it names no statement, two ages, two sexes or two heart rates, or one that is out of range; the
    message says what was understood.
    """
    made = read(text, classes)
    if not made.statements:
        said = "; ".join(made.lines()) or "it is empty"
        raise ValueError(f"the text {text!r} names no statement ({said}); `sssd-ecg labels` lists them")
    return made


def read(text: str, classes: Sequence[str] = CODES) -> Understood:
    """Return what is understood of a sentence, which need not name a statement; otherwise as `understand`."""
    found: list[tuple[str, str]] = []
    ages, sexes, rates = set[float](), set[str](), set[float]()

    def take_rate(match: re.Match[str]) -> str:
        rates.add(float(heart_rates(match[1] or match[2])[0]))
        found.append((match[0].strip(), f"heart rate {match[1] or match[2]}"))
        return " , "

    def take_age(match: re.Match[str]) -> str:
        number = match["age"] or match["short"] or match["plain"]
        years = from_cells(f"{number} {_unit(match['unit'])}", "")[0]
        letter = (match["sex"] or match["letter"] or "").lower()
        ages.add(years)
        sexes.update({"f": ["female"], "m": ["male"]}.get(letter, []))
        sex = {"f": ", female", "m": ", male"}.get(letter, "")
        found.append((match[0].strip(), f"age {years:g}{sex}"))
        return " "

    rest = _AGE.sub(take_age, _RATE.sub(take_rate, _PLURAL.sub("", text)))
    known, words = _phrases(tuple(classes)), _content()
    filler = _filler()
    statements: dict[str, None] = {}
    denied: dict[str, None] = {}
    left: list[str] = []
    for segment in _BREAK.split(rest):
        tokens = _WORD.findall(segment)
        plain = [_plain(token) for token in tokens]
        joined = f" {' '.join(plain)} "
        all_denied = any(f" {_spelled(word)} " in joined for word in words["deny_all"]) and not any(
            f" {word} " in joined for word in words["allow"]
        )
        denying, at = all_denied, 0
        unknown: list[str] = []
        while at < len(tokens):
            length, meaning = _longest(tokens, plain, at, known)
            if meaning is None:
                denying = all_denied or (plain[at] not in words["end"] and denying)
                left += _phrase(unknown) if plain[at] in filler else []
                unknown = [] if plain[at] in filler else [*unknown, tokens[at]]
            else:
                left += _phrase(unknown)
                unknown = []
                kind, what = meaning
                phrase = " ".join(tokens[at : at + length])
                if kind == "deny":
                    denying = True
                elif kind == "sex":
                    sexes.add(what)
                    found.append((phrase, what))
                elif denying:
                    denied[what] = None
                else:
                    statements[what] = None
                    found.append((phrase, what))
            at += length
        left += _phrase(unknown)
    return Understood(
        statements=tuple(statements),
        age=_one("ages", ages),
        sex=_one("sexes", sexes),
        heart_rate=_one("heart rates", rates),
        found=tuple(found),
        denied=tuple(denied),
        left=tuple((words, _near(words, known)) for words in left),
    )


def told(text: str, classes: Sequence[str] = CODES, *, takes: Container[str]) -> dict[str, Any]:
    """Return what is understood of a sentence, for a model with these classes that takes these facts, as JSON values.

    denied: statements. left: words that were not understood. said: lines of both. ValueError as `understand`, but for a
    sentence that names no statement.
    """
    (one,), dropped = taken([read(text, classes)], takes)
    return {
        "statements": list(one.statements),
        "age": one.age,
        "sex": one.sex,
        "heart_rate": one.heart_rate,
        "denied": list(one.denied),
        "left": [phrase for phrase, _ in one.left],
        "said": [*one.lines(), *dropped],
    }


def _longest(
    tokens: Sequence[str], plain: Sequence[str], at: int, known: dict[str, tuple[str, str]]
) -> tuple[int, tuple[str, str] | None]:
    """Return how many words from `at` are the longest known phrase, and its meaning; one word and None without any."""
    for end in range(len(tokens), at, -1):
        meaning = known.get(" ".join(plain[at:end]))
        if meaning is None:
            continue
        single = end == at + 1
        if single and tokens[at].upper() in _content()["capitals"] and not tokens[at].isupper():
            continue  # "el" and "dig" are words of other languages as well
        if single and plain[at] == "normal" and not {*plain[:at], *plain[end:]} <= _filler():
            continue  # of an axis or a rate, perhaps
        return end - at, meaning
    return 1, None


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))
    return content


@cache
def _filler() -> frozenset[str]:
    """Return the words that say nothing."""
    return frozenset(_plain(word) for word in _content()["filler"])


@cache
def _phrases(classes: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Return the meaning of each known phrase: ("statement", code), ("sex", name) or ("deny", "")."""
    content = _content()
    phrases = {_spelled(word): ("deny", "") for word in content["deny"]}
    phrases |= {_spelled(word): ("sex", sex) for sex in ("female", "male") for word in content[sex]}
    described = {one.code: (one.description, *one.aliases) for one in STATEMENTS}
    for names in (content["statements"], described, {name: (name,) for name in classes}):  # the last one wins
        for code, words in names.items():
            if code in classes:
                phrases |= {_spelled(word): ("statement", code) for word in words}
    return phrases


def _spelled(text: str) -> str:
    return " ".join(map(_plain, _WORD.findall(text)))


def _plain(word: str) -> str:
    """Return a word in lower case, without accents, umlauts and the s of the plural."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", word.casefold()) if not unicodedata.combining(c))
    bare = bare.replace("ae", "a").replace("oe", "o").replace("ue", "u")
    return bare[:-1] if len(bare) > 3 and bare.endswith("s") and bare[-2] not in "sui" else bare


def _said(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _unit(text: str | None) -> str:
    """Return a unit of an age as `from_cells` knows it."""
    unit = (text or "y").lower()
    return "y" if unit[0] in "yj" else unit


def _phrase(words: Sequence[str]) -> list[str]:
    return [" ".join(words)] if words else []


def _one(what: str, values: set[Any]) -> Any:
    if len(values) > 1:
        raise ValueError(
            f"the text names several {what}: {', '.join(map(str, sorted(values)))}; expected one"
        )
    return next(iter(values), None)


def _near(words: str, known: dict[str, tuple[str, str]]) -> str:
    """Return the known phrase that is spelled nearly as these words, or ""."""
    near = difflib.get_close_matches(_spelled(words), known, n=1, cutoff=_NEAR)
    return near[0] if near and near[0] != _spelled(words) else ""
