"""Configurations: the published values, and that whatever is wrong is named."""

import inspect
import json
import re
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from sssd.checkpoints import read_state
from sssd.config import schema
from sssd.config.schema import DEFAULT, PUBLISHED, Config, parse_config, read_config
from sssd.models.parameters import DenoiserConfig
from sssd.samplers import SAMPLERS, key_of
from sssd.schedule import SPACINGS
from tests.test_wrapper import tiny

# Alcaraz and Strodthoff 2023, table 1 and the configuration published with the code.
VALUES: dict[str, dict[str, Any]] = {
    "diffusion_config": {"T": 200, "beta_0": 0.0001, "beta_T": 0.02},
    "wavenet_config": {
        "in_channels": 8,
        "out_channels": 8,
        "num_res_layers": 36,
        "res_channels": 256,
        "skip_channels": 256,
        "diffusion_step_embed_dim_in": 128,
        "diffusion_step_embed_dim_mid": 512,
        "diffusion_step_embed_dim_out": 512,
        "s4_lmax": 1000,
        "s4_d_state": 64,
        "s4_dropout": 0.0,
        "s4_bidirectional": 1,
        "s4_layernorm": 1,
        "label_embed_dim": 128,
        "label_embed_classes": 71,
    },
    "train_config": {
        "output_directory": "sssd_label_cond",
        "ckpt_iter": "max",
        "iters_per_ckpt": 4000,
        "iters_per_logging": 100,
        "n_iters": 100000,
        "learning_rate": 2e-4,
        "batch_size": 8,
    },
    "trainset_config": {"segment_length": 1000, "sampling_rate": 100, "finetune_dataset": "ptbxl_all"},
    "gen_config": {"output_directory": "sssd_label_cond", "ckpt_path": "sssd_label_cond/"},
    "ddim_config": {"use_ddim": True, "ddim_timesteps": 50, "ddim_eta": 0.0},
}


def test_published_configuration() -> None:
    """The file holds the published values and nothing else, and they are the defaults."""
    assert json.loads(PUBLISHED.read_text()) == VALUES
    assert read_config(PUBLISHED) == Config()


def test_the_network_takes_what_its_section_says() -> None:
    """Broken by a key or a default that one of the two has and the other lacks."""
    assert schema.WavenetConfig().model_dump() == vars(DenoiserConfig())


def test_only_keys_of_sssd_ecg_are_unused() -> None:
    """Every key of ours is read somewhere. Broken by a key that is added and not used, or used and still listed."""
    source = Path(schema.__file__)
    code = "\n".join(path.read_text() for path in source.parents[1].rglob("*.py") if path != source)
    unused: dict[str, tuple[str, ...]] = {}
    for section, field in Config.model_fields.items():
        if section == "distill_config":  # of checkpoints of earlier versions, with whatever keys
            continue
        model = next(a for a in (field.annotation, *get_args(field.annotation)) if hasattr(a, "model_fields"))
        dead = tuple(key for key in model.model_fields if not re.search(rf"\.{key}\b", code))
        unused |= {section: dead} if dead else {}
    assert unused == schema.UNUSED
    published = json.loads(PUBLISHED.read_text())
    assert all(key in published[section] for section, keys in unused.items() for key in keys)


def test_every_configuration_that_ships_is_read() -> None:
    for path in (PUBLISHED, DEFAULT, *map(DEFAULT.with_name, ("finetune.json", "guided.json"))):
        assert isinstance(read_config(path), Config)
    assert set(json.loads(DEFAULT.with_name("finetune.json").read_text())) == {"train_config"}


def test_gains_are_kept_under_the_names_of_samplers() -> None:
    """Fails where a name that is looked up may not be written."""
    keys = [key_of(name, 4, spacing=spacing) for name in SAMPLERS if name != "ddpm" for spacing in SPACINGS]
    keys += [key_of("ddim", 50, eta) for eta in (1.0, 0.25, 1e-7)]
    found = Config.model_validate({"ddim_config": {"gains": {key: [1.0] * 8 for key in keys}}})
    assert set(found.ddim_config.gains) == set(keys)


def test_a_configuration_survives_json() -> None:
    config = read_config(DEFAULT)
    assert parse_config(config.model_dump_json()) == config
    assert parse_config("{}") == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"diffusion_config": {"T": 200, beta: 1}}', "line 1, column .*not valid JSON"),
        ('{"diffusion_config": [1,,2]}', "line 1, column .*not valid JSON"),
        ('{\n"diffusion_config" {}}', "line 2, column .*not valid JSON"),
        ("", "line 1, column 1"),
        ("[]", r"the file is \[\]"),
        ('{"diffusion": {}}', "unknown key diffusion; expected one of diffusion_config, wavenet_config"),
        ('{"diffusion_config": {"t": 1}}', r"unknown key diffusion_config\.t; expected one of T, beta_0"),
        ('{"diffusion_config": {"T": 1}}', r"diffusion_config\.T is 1: .*greater than or equal to 2"),
        ('{"diffusion_config": {"T": "many"}}', r"diffusion_config\.T is 'many': .*integer"),
        ('{"diffusion_config": {"beta_0": NaN}}', r"diffusion_config\.beta_0 is nan: .*finite"),
        ('{"diffusion_config": 3}', "diffusion_config is 3"),
        ('{"wavenet_config": {"s4_d_state": 7}}', r"wavenet_config\.s4_d_state is 7: .*multiple of 2"),
        ('{"wavenet_config": {"in_channels": 12}}', r"wavenet_config\.in_channels is 12: .*8"),
        (
            '{"train_config": {"ckpt_iter": "last"}}',
            r"train_config\.ckpt_iter is 'last': .*'max' or .*integer",
        ),
        (
            '{"train_config": {"precision": "half"}}',
            r"train_config\.precision is 'half': .*'float32' or 'bf16'",
        ),
        (
            '{"trainset_config": {"lead_scale_mv": [1, 1]}}',
            r"trainset_config\.lead_scale_mv is \[1, 1\]: .*8",
        ),
        (
            '{"trainset_config": {"lead_scale_mv": [1,1,1,1,1,1,1,0]}}',
            r"lead_scale_mv is 0: .*greater than 0",
        ),
        ('{"ddim_config": {"ddim_timesteps": 0}}', r"ddim_config\.ddim_timesteps is 0"),
        ('{"ddim_config": {"ddim_timesteps": 201}}', r"ddim_timesteps is 201: expected 1\.\.200"),
        ('{"ddim_config": {"ddim_eta": 2}}', r"ddim_config\.ddim_eta is 2: .*less than or equal to 1"),
        ('{"trainset_config": {"label_names": ["A"]}}', "label_names has 1 name: expected 71"),
        (
            '{"train_config": {"heart_rate_guidance": 2}}',
            "train_config has heart_rate_guidance and no guidance.*leave heart_rate_guidance out",
        ),
        (
            '{"train_config": {"augment": true}, "trainset_config": {"sampling_rate": 500}}',
            "train_config.augment is true and trainset_config.sampling_rate 500: .*set augment to false",
        ),
        (
            '{"ddim_config": {"fits": [{"steps": [9, 3], "eta": [0, 0], "slope": [0], "before": [0, 0]}]}}',
            "slope of a fit in ddim_config.fits has 1 value: expected 2",
        ),
        (
            '{"ddim_config": {"fits": [{"steps": [9], "eta": [0], "slope": [0], "before": [0]},'
            ' {"steps": [3], "eta": [0], "slope": [0], "before": [0]}]}}',
            "ddim_config.fits has several solvers of 1 step: expected at most one",
        ),
        *(
            (
                json.dumps({"ddim_config": {"gains": {key: [1] * 8}}}),
                f"ddim_config.gains has the key '{key}': expected a sampler and its steps",
            )
            for key in ("unipc", "euler10", "ddpm200", "unipc10_even", "best")
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_config(text, "my.json")
    assert str(caught.value).startswith("my.json")
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no configuration at"):
        read_config(tmp_path / "absent.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        read_config(tmp_path / "binary.json")
    (tmp_path / "marked.json").write_text("{}", encoding="utf-8-sig")
    assert read_config(tmp_path / "marked.json") == Config()


def test_files_hold_no_keys_that_are_none(tmp_path):
    """Earlier versions refuse keys that they do not know, also null ones. Broken by writing those (seen)."""
    model = tiny()
    _, metadata = read_state(model.save_checkpoint(tmp_path / "model.safetensors"))
    written = json.loads(metadata["config"])
    assert "null" not in metadata["config"]
    assert "transformer_config" not in written
    assert set(written["diffusion_config"]) == {"T", "beta_0", "beta_T", "prediction"}
    assert Config.model_validate(written) == model.config


def sections(kind):
    """The section and those below it."""
    parts = [get_args(field.annotation) or (field.annotation,) for field in kind.model_fields.values()]
    classes = [part for some in parts for part in some if inspect.isclass(part) and get_origin(part) is None]
    below = [part for part in classes if issubclass(part, BaseModel)]
    return [kind, *(found for part in below for found in sections(part))]


def test_none_is_the_default_wherever_it_is_allowed():
    """Otherwise a file without the key would mean something else."""
    fields = [(kind, name, field) for kind in sections(Config) for name, field in kind.model_fields.items()]
    optional = [(kind, name, field) for kind, name, field in fields if NoneType in get_args(field.annotation)]
    assert len(optional) > 5
    assert [(kind, name) for kind, name, field in optional if field.default is not None] == []
