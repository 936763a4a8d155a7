"""Generation with the published network, beside SSSD-ECG as published, in one run. `python benchmarks/speed.py --help`

SSSD-ECG's network comes from a clone of AI4HealthUOL/SSSD-ECG (--upstream PATH) and runs its DDPM loop; what it imports
beside PyTorch must be installed (einops, opt_einsum). Both have random weights, which cost what trained ones do.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import torch

from sssd.benchmark import ecgs, inputs, machine, median_seconds, random_published, unbound
from sssd.config.schema import PUBLISHED, read_config
from sssd.device import choose_device, choose_precision, precision_name
from sssd.engine.bound import bind
from sssd.model_wrapper import SSSDECG

LOOP_STEPS = 5  # of SSSD-ECG's 200, each of which costs the same
FRESH = """
import sys, time
start = time.perf_counter()
from sssd import SSSDECG
model = SSSDECG.from_pretrained(sys.argv[1])
for _ in range(4):
    model.generate("NORM", use_ddim=True, ddim_timesteps=50, seed=1, progress=False)
    print(time.perf_counter() - start)
    start = time.perf_counter()
"""


def upstream_network(clone: Path, device: torch.device) -> torch.nn.Module:
    """SSSD-ECG's own network, imported from a clone."""
    sys.path.insert(0, str(clone / "src" / "sssd"))
    if device.type == "cpu":
        torch.Tensor.cuda = lambda self, *a, **k: self  # type: ignore[method-assign, assignment]  # it knows CUDA only
    rank = types.ModuleType("pytorch_lightning.utilities")
    rank.rank_zero_only = lambda f: f  # type: ignore[attr-defined]
    sys.modules["pytorch_lightning"] = types.ModuleType("pytorch_lightning")
    sys.modules["pytorch_lightning.utilities"] = rank
    from models.SSSD_ECG import SSSD_ECG  # type: ignore[import-not-found]

    return (
        SSSD_ECG(**read_config(PUBLISHED).wavenet_config.model_dump(exclude={"patch", "attention_every"}))
        .eval()
        .to(device)
    )


@torch.no_grad()
def ddpm_steps(
    net: torch.nn.Module, x: torch.Tensor, cond: torch.Tensor, schedule: dict[str, torch.Tensor]
) -> None:
    """LOOP_STEPS of the published sampling loop."""
    alpha, alpha_bar, sigma = (schedule[name] for name in ("Alpha", "Alpha_bar", "Sigma"))
    for t in range(100 + LOOP_STEPS, 100, -1):
        eps = net((x, cond, torch.full((len(x), 1), float(t), device=x.device)))
        x = (x - (1 - alpha[t]) / torch.sqrt(1 - alpha_bar[t]) * eps) / torch.sqrt(alpha[t])
        x = x + sigma[t] * torch.randn_like(x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", type=Path, help="a clone of AI4HealthUOL/SSSD-ECG")
    parser.add_argument("--device", help="cuda or cpu")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    auto = choose_precision("auto", device)
    gpu = device.type == "cuda"
    print(
        f"{datetime.date.today()}, {machine(device)}, torch {torch.__version__}, precision auto: {auto}",
        flush=True,
    )
    figures: dict[str, float] = {}

    def show(name: str, milliseconds: float, against: str | None = None) -> None:
        figures[name] = milliseconds
        ratio = f"{figures[against] / milliseconds:8.1f} x" if against in figures else ""
        print(f"{name:58s} {milliseconds:12.4g} ms {ratio}", flush=True)

    model = random_published(device)
    schedule = {k: v.to(device) for k, v in model.diffusion_hyperparams.items() if k != "T"}
    one, many = inputs(model, 1), inputs(model, 256 if gpu else 1)
    if options.upstream:
        theirs = upstream_network(options.upstream, device)
        with torch.no_grad():
            show(
                "SSSD-ECG: step, batch 1", 1e3 * median_seconds(lambda: theirs(one), device, 3 if gpu else 1)
            )
        if gpu:
            loop = (
                median_seconds(lambda: ddpm_steps(theirs, *many[:2], schedule), device, 2) / LOOP_STEPS / 256
            )
            show("SSSD-ECG: step, batch 256, per record", 1e3 * loop)
            show("SSSD-ECG: DDPM 200, batch 256, per record", 200e3 * loop)
        del theirs
    theirs_1 = "SSSD-ECG: step, batch 1"
    show(
        "kernels at each step: step, batch 1",
        1e3 * median_seconds(lambda: unbound(model.model, *one), device, 2),
        theirs_1,
    )
    for name in dict.fromkeys(("float32", precision_name("auto", device))):
        dtype = choose_precision(name, device)
        predict = bind(model.model, one[1], [100], length=1000, dtype=dtype)
        show(f"{name}: step, batch 1", 1e3 * median_seconds(lambda: predict(one[0], 0), device), theirs_1)  # noqa: B023
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        for steps in (50, 20):
            seconds = median_seconds(lambda: ecgs(model, 256, steps, "auto"), device, 3) / 256  # noqa: B023
            if steps == 50:
                show(
                    "bf16: step, batch 256, per record",
                    1e3 * seconds / 50,
                    "SSSD-ECG: step, batch 256, per record",
                )
            show(
                f"bf16: DDIM {steps}, batch 256, per record",
                1e3 * seconds,
                "SSSD-ECG: DDPM 200, batch 256, per record",
            )
        peak = torch.cuda.max_memory_allocated() / 1e9
        vectors = many[1].cpu().repeat(3, 1)
        model.generate(vectors, use_ddim=True, ddim_timesteps=2, seed=0, batch_size=256, progress=False)
        print(
            f"peak GPU memory: {peak:.2f} GB for 256 records, {torch.cuda.max_memory_allocated() / 1e9:.2f} GB for 768"
        )
        show("bf16: DDIM 50, 1 record", 1e3 * median_seconds(lambda: ecgs(model, 1, 50, "auto"), device, 10))
        with tempfile.TemporaryDirectory() as folder:
            path = model.save_checkpoint(Path(folder) / "published.safetensors")
            del model
            torch.cuda.empty_cache()
            out = subprocess.run(
                [sys.executable, "-c", FRESH, str(path)], capture_output=True, text=True, check=True
            )
        first, *later = (1e3 * float(line) for line in out.stdout.split())
        show("bf16: first record in a fresh process, DDIM 50", first)
        show("bf16: later records there, DDIM 50", min(later))
    built_in = SSSDECG.from_pretrained(device=device)
    for records, steps in ((1, 20), (1, 50), (1024 if gpu else 8, 20), (1024 if gpu else 8, 50)):
        seconds = median_seconds(lambda: ecgs(built_in, records, steps, "auto"), device, 3)  # noqa: B023
        show(f"built-in model: DDIM {steps}, batch {records}, per record", 1e3 * seconds / records)
    command = [sys.executable, "-c", "import sys; from sssd.cli import main; sys.exit(main())"]
    command += "generate --label NORM --steps 20 --format npz --device".split() + [device.type, "--out"]
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(3):
            start = time.perf_counter()
            done = subprocess.run([*command, f"{folder}/{i}.npz"], capture_output=True, text=True)
            times.append(time.perf_counter() - start)
    if done.returncode:
        print(f"sssd-ecg generate failed: {done.stderr.strip()}")
    else:
        show("sssd-ecg generate --label NORM --steps 20, whole process", 1e3 * sorted(times)[1])
    if options.json:
        about = {"machine": machine(device), "torch": torch.__version__, "date": str(datetime.date.today())}
        options.json.write_text(json.dumps({**about, "ms": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
