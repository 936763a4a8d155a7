"""Age and sex as conditions: their columns, what is unknown, models with and without."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from sssd.cli import main, options
from sssd.cli.requests import read_requests
from sssd.config.names import Other
from sssd.config.schema import Config
from sssd.factory import build_network, label_names
from sssd.labels import CODES
from sssd.model_wrapper import SSSDECG
from sssd.models.attention import SLOWEST
from sssd.patient import Takes, ages, columns, facts, sexes
from sssd.request import Rows
from sssd.samplers import SAMPLERS
from sssd.training.batches import with_patients_hidden
from tests.networks import s4_config


def model(patient: bool = True) -> SSSDECG:
    content = s4_config().model_dump()
    content["wavenet_config"] |= {
        "num_res_layers": 2,
        "res_channels": 32,
        "skip_channels": 8,
        "s4_d_state": 4,
        "label_embed_classes": 75 if patient else 71,
    }
    content["trainset_config"]["patient"] = patient
    torch.manual_seed(0)
    made = SSSDECG(Config.model_validate(content), device="cpu")
    torch.nn.init.normal_(made.model.outer_convs[2].weight, std=0.3)
    return made


def test_columns() -> None:
    """Fails if an unknown age differs from no age, or the sexes are swapped."""
    known = columns([60, 80, None], ["female", "male", None], records=3)
    np.testing.assert_allclose(known, [[1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(columns(records=2), np.zeros((2, 4)))
    np.testing.assert_array_equal(columns(50, 1, records=2), columns([50, 50], [1, 1], records=2))


@pytest.mark.parametrize("age", [-1, 121, "old", float("inf")])
def test_impossible_ages(age: object) -> None:
    with pytest.raises(ValueError, match="expected years, 0 to 120"):
        ages(age)


@pytest.mark.parametrize("sex", ["", "f", 2, 0.5])
def test_impossible_sexes(sex: object) -> None:
    with pytest.raises(ValueError, match="expected 'female' or 'male'"):
        sexes(sex)


def test_one_for_all_or_one_for_each() -> None:
    with pytest.raises(ValueError, match="age has 2 values: expected one, or one for each of 3"):
        columns([40, 50], records=3)


def test_the_labels_of_a_model_do_not_count_its_patient() -> None:
    with_patient = model()
    assert with_patient.takes_patient and len(with_patient.label_names) == 71
    assert label_names(with_patient.config) == label_names(model(False).config)


def test_unknown_patients_are_what_a_network_is_given_that_gets_labels_only() -> None:
    """Fails if 71 columns are refused, or an unknown patient is not all zeros."""
    net, x, t = model().model, torch.randn(2, 8, 100), torch.full((2, 1), 5.0)
    labels = torch.zeros(2, 71)
    labels[:, 4] = 1
    with torch.no_grad():
        alone = net((x, labels, t))
        unknown = net((x, torch.cat((labels, torch.from_numpy(columns(records=2))), dim=1), t))
        known = net((x, torch.cat((labels, torch.from_numpy(columns(30, "male", records=2))), dim=1), t))
    torch.testing.assert_close(alone, unknown)
    assert (known - unknown).abs().max() > 1e-4


def test_generating_with_age_and_sex() -> None:
    """Fails if they do not reach the network, or a record's depends on its neighbours'."""
    m = model()
    how = {"num_samples": 1, "steps": 2, "seed": 1, "exact": True}
    both = m.generate_ecgs(["NORM", "NORM"], age=[30, None], sex=["female", None], **how)
    assert both[0].provenance["age"] == 30 and both[0].provenance["sex"] == "female"
    assert "age" not in both[1].provenance and "sex" not in both[1].provenance
    alone = m.generate("NORM", age=30, sex="female", **how)
    nobody = m.generate("NORM", **how)
    assert abs(both[0].signal[0] - alone[0, 0].numpy()).max() < 1e-3
    assert (alone - nobody).abs().max() > 1e-3


def test_a_model_without_refuses() -> None:
    with pytest.raises(ValueError, match="sex is given, but this model does not take it: leave sex out"):
        model(False).generate("NORM", sex="male", steps=1)


def test_a_configuration_too_small_for_a_patient() -> None:
    content = s4_config().model_dump()
    content["trainset_config"]["patient"] = True
    content["wavenet_config"]["label_embed_classes"] = 3
    with pytest.raises(ValueError, match="expected at least the 4 of age and sex"):
        Config.model_validate(content)


def test_training_hides_age_and_sex_apart() -> None:
    """Fails if both are always hidden together, or labels are touched."""
    y = torch.ones(4000, 75)
    out = with_patients_hidden(y, Takes(patient=True), torch.Generator().manual_seed(0))
    assert (out[:, :71] == 1).all()
    age, sex = out[:, 71:73], out[:, 73:]
    assert (age[:, 0] == age[:, 1]).all() and (sex[:, 0] == sex[:, 1]).all()
    for share in (age.mean(), sex.mean()):
        assert abs(float(share) - 0.5) < 0.04
    assert abs(float((age[:, 0] * sex[:, 0]).mean()) - 0.25) < 0.04


def test_facts() -> None:
    assert facts(np.array([50.0, np.nan]), None, records=2) == [{"age": 50.0}, {}]


def test_an_empty_network_is_filled() -> None:
    """Fails if the rotations' frequencies, which no checkpoint holds, have no values in an empty network."""
    content = s4_config().model_dump()
    content["wavenet_config"] |= {"num_res_layers": 2, "res_channels": 32, "attention_every": 1}
    empty = build_network(Config.model_validate(content), empty=True)
    frequency = empty.blocks[0].attention.get_buffer("frequency")
    torch.testing.assert_close(frequency[[0, -1]], torch.tensor([1.0, SLOWEST]))


# --- on the command line ------------------------------------------------------------------------------------


def requested(tmp_path: Path, text: str, **given: object) -> Rows:
    file = tmp_path / "wanted.csv"
    file.write_text(text)
    return read_requests(None, file, CODES, **given)  # type: ignore[arg-type]


def test_a_table_may_tell_age_and_sex(tmp_path: Path) -> None:
    """The command line gives what the table lacks. Fails if the columns are taken for statements."""
    asked = requested(tmp_path, "labels,age,sex\nAFIB,71,female\nNORM,,0\n", age=50.0)
    np.testing.assert_array_equal(asked.age, [71, 50])
    np.testing.assert_array_equal(asked.sex, [1, 0])
    whole = requested(tmp_path, "AFIB,sex,NORM\n1,male,0\n0,,1\n")
    np.testing.assert_array_equal(whole.sex, [0, np.nan])
    assert np.isnan(whole.age).all() and not whole.by_name.any()
    assert whole.vectors.sum() == 2
    np.testing.assert_array_equal(whole.repeated(2).sex, [0, 0, np.nan, np.nan])


def test_a_wrong_age_names_its_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 2: age is 171: expected years"):
        requested(tmp_path, "labels,age\nAFIB,71\nNORM,171\n")


def test_ptbxls_ages_above_89(tmp_path: Path) -> None:
    np.testing.assert_array_equal(requested(tmp_path, "labels,age\nAFIB,300.0\nNORM,300\n").age, [92, 92])


def test_conditions_of_another_width_are_refused() -> None:
    """Fails if a network takes fewer labels than it has for unknown patients."""
    net = model().model
    with pytest.raises(ValueError, match="conditions have 70 columns: the network expects 75"):
        net((torch.zeros(1, 8, 100), torch.zeros(1, 70), torch.zeros(1, 1)))


def test_a_request_has_its_own_patients() -> None:
    m = model()
    request = m.request("NORM", age=50)
    with pytest.raises(ValueError, match="part of a Request"):
        m.generate(request, age=60, steps=1)


def test_samplers_are_the_same_everywhere() -> None:
    """Fails if the command line or the configuration lacks one."""
    in_options = get_args(get_args(get_args(options.Sampler)[0])[0])
    assert set(in_options) == set(SAMPLERS) == {*get_args(Other), "ddim", "ddpm"}


def test_quality_stands_for_other_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = ["--label", "NORM", "--out", str(tmp_path / "x")]
    assert main(["generate", "--quality", "best", "--steps", "3", *out]) == 2
    assert "--quality chooses --steps itself" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
