"""Writes statements.json: the 71 SCP-ECG statements, their counts and how often they occur together.

    python scripts/make_statements.py LABELS.csv SCP_STATEMENTS.csv SIGNALS.npz [--out FILE]

LABELS.csv          one row per PTB-XL record: ecg_id, ..., strat_fold, then 71 columns of 0 / 1
SCP_STATEMENTS.csv  PTB-XL's own table of statements (descriptions, superclasses)
SIGNALS.npz         the recordings the built-in model is trained on (labels, label_names, strat_fold)

Counts over PTB-XL are over all records. Everything `labels.complete` draws from (single counts, pair counts,
sizes) is over folds 1 to 8 alone, as is the number of training records.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from sssd.io.files import write_bytes

ALIASES: dict[str, tuple[str, ...]] = {
    "1AVB": ("first degree atrioventricular block", "1st degree AV block", "AV block I", "AVB1"),
    "2AVB": ("second degree atrioventricular block", "2nd degree AV block", "AV block II", "AVB2"),
    "3AVB": (
        "third degree atrioventricular block",
        "3rd degree AV block",
        "complete heart block",
        "complete AV block",
        "AV block III",
        "AVB3",
    ),
    "ABQRS": ("abnormal QRS complex",),
    "AFIB": ("AF", "a-fib"),
    "AFLT": ("AFL", "flutter"),
    "ALMI": ("anterolateral infarction",),
    "AMI": ("anterior infarction", "anterior MI"),
    "ANEUR": ("ventricular aneurysm",),
    "ASMI": ("anteroseptal infarction", "anteroseptal MI"),
    "BIGU": ("bigeminy", "bigeminal pattern"),
    "CLBBB": ("LBBB", "left bundle branch block"),
    "CRBBB": ("RBBB", "right bundle branch block"),
    "DIG": ("digoxin effect",),
    "EL": ("electrolyte disturbance", "electrolyte abnormality"),
    "HVOLT": ("high voltage", "high QRS voltages"),
    "ILBBB": ("incomplete LBBB",),
    "ILMI": ("inferolateral infarction", "inferolateral MI"),
    "IMI": ("inferior infarction", "inferior MI"),
    "INJAL": ("anterolateral subendocardial injury",),
    "INJAS": ("anteroseptal subendocardial injury",),
    "INJIL": ("inferolateral subendocardial injury",),
    "INJIN": ("inferior subendocardial injury",),
    "INJLA": ("lateral subendocardial injury",),
    "INVT": ("T wave inversion", "inverted T wave"),
    "IPLMI": ("inferoposterolateral infarction",),
    "IPMI": ("inferoposterior infarction",),
    "IRBBB": ("incomplete RBBB",),
    "ISCAL": ("anterolateral ischemia", "anterolateral ischaemia"),
    "ISCAN": ("anterior ischemia", "anterior ischaemia"),
    "ISCAS": ("anteroseptal ischemia", "anteroseptal ischaemia"),
    "ISCIL": ("inferolateral ischemia", "inferolateral ischaemia"),
    "ISCIN": ("inferior ischemia", "inferior ischaemia"),
    "ISCLA": ("lateral ischemia", "lateral ischaemia"),
    "ISC_": ("ischemia", "ischaemia", "non-specific ischemia", "non-specific ischaemia"),
    "IVCD": ("intraventricular conduction delay", "IVCB"),
    "LAFB": ("left anterior hemiblock", "LAHB"),
    "LAO/LAE": ("LAO", "LAE", "left atrial enlargement", "left atrial overload"),
    "LMI": ("lateral infarction", "lateral MI"),
    "LNGQT": ("long QT", "prolonged QT", "LQT"),
    "LOWT": ("low T wave", "low amplitude T wave"),
    "LPFB": ("left posterior hemiblock", "LPHB"),
    "LPR": ("long PR", "long PR interval", "prolonged PR"),
    "LVH": (),
    "LVOLT": ("low voltage", "low QRS voltage", "low QRS voltages"),
    "NDT": ("non-diagnostic T",),
    "NORM": ("normal", "normal electrocardiogram", "healthy"),
    "NST_": ("non-specific ST change", "nonspecific ST changes"),
    "NT_": ("non-specific T wave change", "nonspecific T wave changes"),
    "PAC": ("premature atrial contraction", "premature atrial complex", "atrial extrasystole", "APC"),
    "PACE": ("pacemaker", "paced rhythm", "pacemaker rhythm", "paced"),
    "PMI": ("posterior infarction", "posterior MI"),
    "PRC(S)": ("PRC", "premature complex"),
    "PSVT": ("paroxysmal SVT",),
    "PVC": (
        "premature ventricular contraction",
        "premature ventricular complex",
        "ventricular extrasystole",
        "VPC",
    ),
    "QWAVE": ("Q wave", "Q waves", "pathological Q wave"),
    "RAO/RAE": ("RAO", "RAE", "right atrial enlargement", "right atrial overload"),
    "RVH": (),
    "SARRH": ("respiratory sinus arrhythmia",),
    "SBRAD": ("sinus brady",),
    "SEHYP": (),
    "SR": ("NSR", "normal sinus rhythm"),
    "STACH": ("sinus tach",),
    "STD_": ("ST depression",),
    "STE_": ("ST elevation",),
    "SVARR": (),
    "SVTAC": ("SVT",),
    "TAB_": ("abnormal T wave",),
    "TRIGU": ("trigeminy", "trigeminal pattern"),
    "VCLVH": (
        "voltage criteria for LVH",
        "voltage criteria for left ventricular hypertrophy",
        "LVH by voltage",
    ),
    "WPW": ("Wolff-Parkinson-White", "pre-excitation", "preexcitation"),
}
DESCRIPTIONS = {  # clearer than, or corrected from, the column of scp_statements.csv
    "DIG": "digitalis effect",
    "EL": "electrolytic disturbance or drug",
    "IVCD": "non-specific intraventricular conduction disturbance",
    "ISC_": "non-specific ischemic ST-T changes",
    "ISCAL": "ischemic ST-T changes in anterolateral leads",
    "ISCAN": "ischemic ST-T changes in anterior leads",
    "ISCAS": "ischemic ST-T changes in anteroseptal leads",
    "ISCIL": "ischemic ST-T changes in inferolateral leads",
    "ISCIN": "ischemic ST-T changes in inferior leads",
    "ISCLA": "ischemic ST-T changes in lateral leads",
    "BIGU": "bigeminal pattern of unknown origin",
    "TRIGU": "trigeminal pattern of unknown origin",
    "PRC(S)": "premature complexes",
    "VCLVH": "voltage criteria (QRS) for left ventricular hypertrophy",
    "WPW": "Wolff-Parkinson-White syndrome",
}


def build(labels_csv: Path, statements_csv: Path, signals_npz: Path) -> dict:
    """The content of statements.json (see the module's docstring)."""
    with labels_csv.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    first = header.index("strat_fold") + 1
    codes = header[first:]
    labels = np.array([[int(float(v)) for v in row[first:]] for row in rows])  # (n, 71)
    fold = np.array([int(float(row[first - 1])) for row in rows])
    with statements_csv.open(newline="", encoding="utf-8") as file:
        info = {row[""]: row for row in csv.DictReader(file)}
    with np.load(signals_npz) as data:
        if list(data["label_names"]) != codes:
            raise ValueError(f"{signals_npz}: label_names differ from the columns of {labels_csv}")
        training = data["labels"][data["strat_fold"] <= 8].sum(axis=0, dtype=int)

    train = labels[fold <= 8]
    together = train.T @ train
    size = train.sum(axis=1)
    largest = int(size.max())
    return {
        "about": "SCP-ECG statements of PTB-XL; written by scripts/make_statements.py",
        "source": "PTB-XL 1.0.3, Wagner et al. 2020, doi 10.13026/kfzx-aw45, CC BY 4.0",
        "statements": [
            {
                "code": code,
                "description": DESCRIPTIONS.get(code, info[code]["description"]),
                "superclass": info[code]["diagnostic_class"],
                "ptbxl_records": int(labels[:, k].sum()),
                "training_records": int(training[k]),
                "aliases": list(ALIASES[code]),
            }
            for k, code in enumerate(codes)
        ],
        "rhythms": [code for code in codes if info[code]["rhythm"]],
        "together": {
            "folds": "1-8",
            "records": len(train),
            "counts": np.diag(together).tolist(),
            "sizes": [np.bincount(size[on], minlength=largest + 1).tolist() for on in train.T == 1],
            "pairs": [
                [i, j, int(together[i, j])]
                for i in range(len(codes))
                for j in range(i + 1, len(codes))
                if together[i, j]
            ],
        },
    }


def dump(content: dict) -> str:
    """JSON with one statement, one histogram of sizes and one statement's pairs per line."""

    def lines(items: list) -> str:
        return "[\n" + ",\n".join(json.dumps(item, separators=(",", ":")) for item in items) + "\n]"

    together = dict(content["together"])
    firsts = sorted({pair[0] for pair in together["pairs"]})
    by_first = [[pair for pair in together["pairs"] if pair[0] == i] for i in firsts]
    rows = [json.dumps(group, separators=(",", ":"))[1:-1] for group in by_first]
    parts = {key: json.dumps(value) for key, value in together.items()}
    parts |= {"sizes": lines(together["sizes"]), "pairs": "[\n" + ",\n".join(rows) + "\n]"}
    table = ",\n".join(f"{json.dumps(key)}: {text}" for key, text in parts.items())
    parts = {key: json.dumps(value) for key, value in content.items()}
    parts |= {"statements": lines(content["statements"]), "together": "{\n" + table + "\n}"}
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {text}" for key, text in parts.items()) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("labels_csv", type=Path)
    parser.add_argument("statements_csv", type=Path)
    parser.add_argument("signals_npz", type=Path)
    default = Path(__file__).resolve().parents[1] / "src" / "sssd" / "statements.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    content = build(args.labels_csv, args.statements_csv, args.signals_npz)
    text = dump(content)
    assert json.loads(text) == content
    write_bytes(args.out, text.encode(), overwrite=True)
    print(f"{args.out}: {len(text)} bytes")


if __name__ == "__main__":
    main()
