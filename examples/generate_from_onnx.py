"""Generates ECGs from an exported model with NumPy and ONNX Runtime only: no PyTorch, and nothing of this package.

    sssd-ecg export default --out model.onnx
    python generate_from_onnx.py model.onnx ecgs.npy --labels AFIB CLBBB --seed 7 --records 4

It writes an array (records, 12, samples) in mV, the records of
`SSSDECG.from_pretrained(device="cpu").generate("AFIB+CLBBB", exact=True, seed=7, num_samples=4)`
but for rounding.
"""

import argparse
import base64
import json

import numpy as np
import onnxruntime


def philox(counter, key):
    """Return 4 words of 32 random bits for each counter (Philox-4x32-10, Salmon et al. 2011); all are uint64."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = (np.uint64(word) for word in key)
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & mask, (p0 >> half) ^ c3 ^ k1, p0 & mask
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & mask, (k1 + np.uint64(0xBB67AE85)) & mask
    return c0, c1, c2, c3


def words(seed, index, step, blocks):
    """Return 4 words of random bits for each block of 4 numbers of record `index` at a step."""
    block = np.arange(blocks)
    counter = (
        block,
        np.full_like(block, step),
        *(np.full_like(block, index >> k & 0xFFFFFFFF) for k in (0, 32)),
    )
    return philox(counter, (seed & 0xFFFFFFFF, seed >> 32))


def normal(seed, index, step, shape):
    """Return standard normal noise float32 (Box and Muller 1958)."""
    size = int(np.prod(shape))
    numbers = []
    r = words(seed, index, step, -(-size // 4))
    for uniform, turn in (r[:2], r[2:]):
        radius = np.sqrt(-2 * np.log((uniform + 0.5) * 2.0**-32))
        angle = turn * (2 * np.pi * 2.0**-32)
        numbers += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.stack(numbers, -1).reshape(-1)[:size].reshape(shape).astype(np.float32)


def halves(text):
    """Return numbers in float16 and base64 as float64."""
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float64)


def circumstances(facts, chosen, seed, index):
    """Return the circumstances (C,) of a record: the chosen row of the table, and normal noise."""
    rows = halves(facts["rows"]).reshape(facts["shape"])
    jitter = normal(seed, index, facts["jitter_step"], (1, rows.shape[1]))[0]
    return rows[chosen].astype(np.float32) + np.float32(facts["bandwidth"]) * jitter


def row_like(facts, wanted, heart_rate, seed, index):
    """Return the row of a recording like this: wanted are its statements (K,) of 0 and 1."""
    drawn, known = facts["circumstances"], facts["heart_rates"]
    like = np.arange(drawn["shape"][0])
    if known:
        weight, rates = np.array(known["weight"]), halves(known["rates"])
        bits = np.frombuffer(base64.b64decode(known["statements"]), np.uint8).reshape(len(like), -1)
        away = (np.unpackbits(bits, axis=1)[:, : len(weight)] != wanted) @ weight.astype(np.float64)
        if heart_rate is not None:
            middle, spread = facts["conditions"]["heart_rate"].values()
            asked = middle + spread * float(np.float32((heart_rate - middle) / spread))
            away += np.where(rates > 0, np.abs(asked - rates), known["unknown"])
        nearest = np.sort(away)[min(known["nearest"], len(away)) - 1]
        like = np.flatnonzero(away <= max(away.min() + known["like"], nearest))
    return like[int(words(seed, index, drawn["row_step"], 1)[0][0]) * len(like) >> 32]


def conditions(facts, labels, *, seed, index, age=None, sex=None, heart_rate=None):
    """Return the conditions (K,) of a record."""
    told = facts["conditions"]
    row = dict(zip(told["columns"], told["given"], strict=True))
    row.update(dict.fromkeys(labels, 1.0))
    drawn, known = facts["circumstances"], facts["heart_rates"]
    if drawn:
        wanted = np.isin(told["columns"][: told["labels"]], labels)
        chosen = row_like(facts, wanted, heart_rate, seed, index)
        if known and heart_rate is None and halves(known["rates"])[chosen]:
            heart_rate = halves(known["rates"])[chosen]
            if known["variabilities"]:
                row |= {"variability is known": 1.0, "variability": halves(known["variabilities"])[chosen]}
    for name, value in (("age", age), ("heart_rate", heart_rate)):
        if value is not None:
            column, scaling = name.replace("_", " "), told[name]
            row[f"{column} is known"] = 1.0
            row[column] = (value - scaling["middle"]) / scaling["spread"]
    if sex is not None:
        row[sex] = 1.0
    if len(row) != len(told["columns"]):
        raise ValueError(f"labels are {labels}: expected some of {told['columns'][: told['labels']]}")
    cond = np.array(list(row.values()), np.float32)
    if drawn:
        cond[-drawn["shape"][1] :] = circumstances(drawn, chosen, seed, index)
    return cond


def to_mv(facts, x):
    """Bring records (..., 8, L) from the scale of the network to mV."""
    scale = facts["scale"]
    if scale["emphasis"]:
        length = x.shape[-1]
        cosine = np.cos(np.pi * np.outer(np.arange(length) + 0.5, np.arange(length)) / length)  # DCT-II
        cosine *= np.where(np.arange(length) == 0, np.sqrt(1 / length), np.sqrt(2 / length))
        x = (x @ cosine / np.array(scale["emphasis"])) @ cosine.T
    return x * np.array(scale["lead_mv"])[:, None]


def as_told(facts, signal_mv, cond):
    """Give a record (8, L) the noise, the edge and the slow part that its conditions (K,) say."""
    told, fs_hz, length = facts["circumstances"]["as_told"], facts["fs_hz"], signal_mv.shape[1]
    level = np.array(told["mean"]) + np.array(told["spread"]) * cond[-len(told["mean"]) :]
    samples, x = told["samples"], signal_mv.astype(np.float64)
    frequency, at = np.fft.rfftfreq(samples, 1 / fs_hz), np.arange(length + 1) * fs_hz / (2 * length)
    for _ in range(told["rounds"]):
        response, head = np.ones((len(x), length + 1)), x[:, :samples]
        centred = head - head.mean(axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(centred * np.hanning(samples + 1)[:samples])) ** 2
        for kind in told["kinds"].values():
            low, high = kind["measured_hz"]
            if kind["quantile"]:
                inside = (frequency > low) & (frequency < high)
                fine = np.abs(np.fft.irfft(np.fft.rfft(head) * inside, samples))
                found, root = np.quantile(fine, kind["quantile"], axis=1), 1
            else:
                inside = (frequency >= low) & (frequency < (high or np.inf))
                found, root = power[:, inside].sum(axis=1), 2
            wanted = level[kind["first"] : kind["first"] + len(x)]
            lacking = (wanted - np.log10(found + kind["smallest"])) / root
            factor = 10 ** np.clip(lacking, -told["most"], told["most"])
            first, whole, last, end = kind["band_hz"]
            band = np.clip(np.minimum((at - first) / (whole - first), (end - at) / (end - last)), 0, 1)
            response += (factor - 1)[:, None] * band
        mirrored = np.concatenate((x, x[:, ::-1]), axis=1)
        x = np.fft.irfft(np.fft.rfft(mirrored) * response, 2 * length)[:, :length]
    return x


def converted(converter, signal_mv):
    """Put records (8, L) on the steps of the converter that recorded PTB-XL, at four times their sampling rate."""
    one, foot = signal_mv[:1], signal_mv[7:]
    leads = np.concatenate((signal_mv[:7], foot + one / 2)) / converter["step_mv"]  # II in place of aVF
    between, low_pass = np.array(converter["interpolation"]), np.array(converter["filter"])
    fine = convolved(leads, between).reshape(8, -1)
    nearest = np.rint(fine)
    decided = np.abs(fine - nearest) < 1 - converter["hold"]
    last = np.maximum.accumulate(np.where(decided, np.arange(fine.shape[1]), 0), axis=1)
    held = np.take_along_axis(nearest, last, axis=1)
    level = np.where(np.abs(fine - held) <= converter["hold"], held, nearest)
    change = convolved(level - fine, low_pass[None])[:, :: len(between), 0] * converter["step_mv"]
    change[7] -= change[0] / 2
    return signal_mv + change


def convolved(x, kernels):
    """Return what kernels (M, 2 R + 1) give at each sample of x (8, L), whose ends go on as they are: (8, L, M)."""
    reach = kernels.shape[1] // 2
    wide = np.pad(x, ((0, 0), (reach, reach)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(wide, kernels.shape[1], axis=1) @ kernels.T


def twelve(eight):
    """Return the 12 leads in clinical order from I, V1..V6, aVF."""
    one, foot = eight[..., 0, :], eight[..., 7, :]
    limb = [one, 0.5 * one + foot, foot - 0.5 * one, -0.75 * one - 0.5 * foot, 0.75 * one - 0.5 * foot, foot]
    return np.concatenate((np.stack(limb, -2), eight[..., 1:7, :]), -2)


def generate(path, labels, *, seed, records=1, **patient):
    """Return records (records, 12, L) in mV."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["sssd-ecg"])
    shape, table = (len(facts["leads"]), facts["samples"]), facts["sampler"]
    cond = np.stack([conditions(facts, labels, seed=seed, index=i, **patient) for i in range(records)])

    def noise(step):
        return np.stack([normal(seed, i, step, shape) for i in range(records)])

    x, history, gain = noise(facts["T"]), [], np.array(table["gain"], np.float32)[:, None]
    for i, step in enumerate(table["steps"]):
        eps, x0 = session.run(["eps", "x0"], {"x": x, "step": np.array([step]), "cond": cond})
        if i == table["gain_row"]:
            x = x + np.float32(table["alpha"][i]) * (gain - 1) * x0
            history = [h if table["history"] == "eps" else gain * h for h in history]
            x0 = gain * x0
        history.insert(0, eps if table["history"] == "eps" else x0)
        x = np.float32(table["a"][i]) * x
        for factor, h in zip(table["b"][i], history, strict=False):
            x = x + np.float32(factor) * h
        if table["c"][i]:
            x = x + np.float32(table["c"][i]) * noise(step)
    eight = to_mv(facts, x)
    if facts["circumstances"] and facts["circumstances"]["as_told"]:
        eight = np.stack([as_told(facts, one, row) for one, row in zip(eight, cond, strict=True)])
    if facts["converter"]:
        eight = np.stack([converted(facts["converter"], one) for one in eight])
    return twelve(eight)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--labels", nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=int, default=1)
    parser.add_argument("--age", type=float)
    parser.add_argument("--sex", choices=("female", "male"))
    parser.add_argument("--heart-rate", type=float)
    told = vars(parser.parse_args())
    out = told.pop("out")
    np.save(out, generate(told.pop("model"), **told))
