"""Corpora and sets in the tools of others: the examples of examples/loaders, and the metadata by Croissant."""

import importlib.util
import json
import logging
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import sssd.corpus
from sssd.corpora.croissant import FILE, metadata
from sssd.corpora.plan import by_counts, with_patients
from sssd.io.folder import save_set
from sssd.labels import CODES
from sssd.record import Ecg
from tests.corpora import LENGTH, make

from .inputs.records import beats_mv

EXAMPLES = Path(__file__).parents[1] / "examples" / "loaders"
RECORDS = 35  # in 4 shards
TOOLS = {"datasets", "polars", "duckdb", "croissant", "mne", "braindecode", "torch_ecg"}


def _example(tool: str) -> ModuleType:
    pytest.importorskip({"croissant": "mlcroissant"}.get(tool, tool), exc_type=ImportError)
    spec = importlib.util.spec_from_file_location(f"with_{tool}", EXAMPLES / f"with_{tool}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyarrow")
    plan = with_patients(by_counts("AFIB=15,NORM+SR=20", CODES), age=70, sex="female")
    folder: Path = tmp_path_factory.mktemp("corpora") / "corpus"
    make(folder, plan=plan, format="parquet")
    return folder


def _expected(corpus: Path) -> tuple[np.ndarray, np.ndarray]:
    records = sssd.corpus.open(corpus)
    both = [(record["signal"].numpy(), record["labels"].numpy()) for record in records]
    signals, labels = zip(*both, strict=True)
    return np.stack(signals), np.stack(labels)


def test_every_example_is_run_here() -> None:
    assert {path.stem.removeprefix("with_") for path in EXAMPLES.glob("*.py")} == TOOLS


def test_the_table_of_labels_and_conditions(corpus: Path) -> None:
    """Broken by the rows of the first shard only, or by labels in another order (seen: both)."""
    records = sssd.corpus.open(corpus)
    table = records.frame()
    assert table.index.tolist() == list(range(RECORDS))
    assert list(table.columns[:4]) == ["requested", "age", "sex", "statements"]
    np.testing.assert_array_equal(table[list(records.label_names)].to_numpy(), _expected(corpus)[1])
    assert set(table["age"]) == {70} and set(table["sex"]) == {"female"}
    assert (table["requested"] == "AFIB").sum() == 15
    assert all("AFIB" in row.split("+") for row in table["statements"][table["AFIB"] == 1])


def test_datasets(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _example("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path))
    rows = module.load(str(corpus))[:]
    signals, labels = _expected(corpus)
    np.testing.assert_array_equal(rows["signal_mv"], signals)
    np.testing.assert_array_equal(rows["labels"], labels)


@pytest.mark.parametrize("tool", ["polars", "duckdb"])
def test_tables(corpus: Path, tool: str) -> None:
    """Broken by rows of other statements (seen)."""
    statements, signals = _example(tool).load(str(corpus), "NORM")
    table = sssd.corpus.open(corpus).frame()
    chosen = (table["NORM"] == 1).to_numpy()
    assert 0 < chosen.sum() < RECORDS and len(statements) == chosen.sum()
    np.testing.assert_array_equal(signals, _expected(corpus)[0][chosen])


def test_croissant(corpus: Path) -> None:
    """mlcroissant reads and validates it. Broken by a column that is not there, or by files elsewhere (seen: both)."""
    module = _example("croissant")
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(corpus / FILE))
    assert not dataset.metadata.issues.errors
    rows = list(module.load(str(corpus)))
    np.testing.assert_array_equal(np.stack([signal for _, signal in rows]), _expected(corpus)[0])
    table = sssd.corpus.open(corpus).frame()
    assert [statements for statements, _ in rows] == table["statements"].tolist()
    first = next(iter(dataset.records("records")))
    assert (first["records/age"], first["records/sex"]) == (70, b"female")
    names = [row["label_names/name"] for row in dataset.records("label_names")]
    assert tuple(names) == sssd.corpus.open(corpus).label_names


@pytest.mark.parametrize("format", ["hdf5", "npz", "wfdb"])
def test_croissant_of_other_formats(tmp_path: Path, format: str, caplog: pytest.LogCaptureFixture) -> None:
    """The files that it names are those of the corpus, and it is the same for a corpus that is made again."""
    mlcroissant = pytest.importorskip("mlcroissant")
    made = make(tmp_path / "corpus", format=format)
    file = tmp_path / "corpus" / FILE
    with caplog.at_level(logging.ERROR):
        dataset = mlcroissant.Dataset(jsonld=str(file))
    assert not dataset.metadata.issues.errors
    content = json.loads(file.read_text())
    assert content == json.loads(json.dumps(metadata(made)))
    (shards,) = content["distribution"]
    named = {path for pattern in shards["includes"] for path in (tmp_path / "corpus").glob(pattern)}
    files = {
        path for path in (tmp_path / "corpus/data").rglob("*") if path.is_file() and path.suffix != ".csv"
    }
    assert named == files


def test_mne(tmp_path: Path) -> None:
    module = _example("mne")
    pytest.importorskip("edfio")
    ecg = Ecg(beats_mv(0), statements=("NORM", "SR"), provenance={"synthetic": True})
    (raw,) = module.load(str(save_set([ecg], tmp_path / "set", ["edf"], names=["a"])))
    assert (
        set(raw.get_channel_types()) == {"ecg"} and raw.annotations.description[0] == "statements: NORM, SR"
    )
    np.testing.assert_allclose(raw.get_data() * 1000, ecg.signal, atol=0.0006)


def test_braindecode(corpus: Path) -> None:
    windows = _example("braindecode").load(str(corpus), "NORM")
    signals, _ = _expected(corpus)
    table = sssd.corpus.open(corpus).frame()
    assert len(windows) == RECORDS
    for k in (0, RECORDS - 1):
        signal, target, _ = windows[k]
        np.testing.assert_allclose(signal, signals[k], rtol=1e-6)
        assert target == table["NORM"][k]


def test_torch_ecg(corpus: Path) -> None:
    loader, network = _example("torch_ecg").load(str(corpus))
    batch = next(iter(loader))
    assert batch["signal"].shape == (8, 12, LENGTH)
    assert network.n_leads == 12 and len(network.classes) == len(sssd.corpus.open(corpus).label_names)
