"""Configurations as people write them."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest

from sssd.checks import Notice
from sssd.cli import main
from sssd.config.schema import PUBLISHED, Config, parse_config, read_config

from .page import row, rows

COMMENTS = "comments: `//`, `#` and `/* */`"
COMMAS = "the file that SSSD-ECG publishes, with its trailing commas"


@row(COMMAS)
def test_the_published_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its sections end with commas. Fails when they are refused, or taken in silence."""
    text = re.sub(r"(\n\s*\})", r",\1", PUBLISHED.read_text(encoding="utf-8"))
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    with pytest.warns(Notice, match=r"c\.json has trailing commas \(lines \d+, "):
        assert read_config(tmp_path / "c.json") == read_config(PUBLISHED)
    arguments = [
        "train",
        "--config",
        str(tmp_path / "c.json"),
        "--data",
        str(tmp_path),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main(arguments) == 2  # there are no data, but the note comes first or not at all
    assert "not valid JSON" not in capsys.readouterr().err


@rows(
    "text,note",
    [
        (COMMENTS, '{"diffusion_config": {"T": 100}} // the end', "comments"),
        (COMMENTS, '# the schedule\n{"diffusion_config": {"T": 100}}', "comments"),
        (COMMENTS, '{"diffusion_config": /* steps,\n}, */ {"T": 100}}', "comments"),
        (
            COMMENTS,
            '{"diffusion_config": {"T": 100, // steps\n},}',
            r"comments and trailing commas \(lines 1, 2\)",
        ),
        (COMMAS, '{"diffusion_config": {"T": 100,\n\n}}', r"trailing commas \(line 1\)"),
        (
            COMMAS,
            '{"diffusion_config": {"T": 100}, "trainset_config": {"lead_scale_mv": [1,1,1,1,1,1,1,1,]}}',
            r"trailing commas \(line 1\)",
        ),
        (
            COMMENTS,
            '{"diffusion_config": {"T": 100}, "gen_config": {"ckpt_path": "http://a/#b,}"},}',
            r"trailing commas \(line 1\)",
        ),
    ],
)
def test_what_json_does_not_have(text: str, note: str) -> None:
    """Fails when a note is missing, or when a text in quotes is taken for a comment or a comma."""
    with pytest.warns(Notice, match=f"my.json has {note}"):
        config = parse_config(text, "my.json")
    assert config.diffusion_config.T == 100
    assert "http" not in text or config.gen_config.ckpt_path == "http://a/#b,}"
    assert config.trainset_config.lead_scale_mv in (None, [1.0] * 8)


@row("a byte order mark")
def test_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{}", encoding="utf-8-sig")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_config(tmp_path / "c.json") == Config()


@rows(
    "text,told",
    [
        ("one key twice in a section", '{"diffusion_config": {"T": 200, "T": 100}}', "'T' is there twice"),
        (
            "one key twice in a section",
            '{"diffusion_config": {"T": 200,}, "diffusion_config": {}}',
            "there twice",
        ),
        ("other mistakes in the JSON", '{"diffusion_config": {"T": 200,,}}', "line 1, column"),
        ("other mistakes in the JSON", '{"diffusion_config": {,}}', "line 1, column"),
        ("other mistakes in the JSON", "{'diffusion_config': {}}", "line 1, column"),
        ("other mistakes in the JSON", '{\n"diffusion_config": {\n"T": 200', "line 3, column"),
        ("other mistakes in the JSON", '{\n/* never closed\n"T": 1}', "line 2, column"),
        (
            "unknown keys, values of another type or out of range",
            '{"diffusion_config": {"t": 1}}',
            r"unknown key diffusion_config\.t; expected one of T",
        ),
        (
            "unknown keys, values of another type or out of range",
            '{"diffusion_config": {"T": 1}}',
            "greater than",
        ),
        (
            "unknown keys, values of another type or out of range",
            '{"diffusion_config": {"T": "x"}}',
            "integer",
        ),
    ],
)
def test_mistakes_are_pointed_at(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        parse_config(text, "my.json")
    assert str(error.value).startswith("my.json") and "\n" not in str(error.value)
