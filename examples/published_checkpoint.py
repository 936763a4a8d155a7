"""Generate with a checkpoint of SSSD-ECG: python examples/published_checkpoint.py CHECKPOINT.pkl [REAL.npz]

With real ECGs, the Cauchy convention that fits them better is used.
"""

import argparse

from sssd import SSSDECG
from sssd.checkpoints.inspection import fit_cauchy, inspect
from sssd.data import recordings


def main(checkpoint: str, real: str | None = None) -> None:
    found = inspect(checkpoint)
    print(f"{found.form}: {found.parameters:,} parameters, configuration from {found.config_from}")
    cauchy = "conjugate_pairs"
    if real is not None:
        fit = fit_cauchy(checkpoint, recordings.read(real), records=4)
        cauchy = fit.better or cauchy
        print(f"denoising loss {fit.loss}: using {cauchy}")
    model = SSSDECG.from_pretrained(checkpoint, cauchy=cauchy)
    signal = model.generate("NORM", num_samples=2, ddim_timesteps=5, seed=1, return_numpy=True)
    print(f"{signal.shape} in mV, leads I V1..V6 aVF, standard deviation {signal.std():.2f} mV")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a .pkl file of SSSD-ECG")
    parser.add_argument("real", nargs="?", help="real ECGs, as `sssd-ecg prepare` writes them")
    try:
        main(**vars(parser.parse_args()))
    except (OSError, ValueError) as error:
        parser.error(str(error))
