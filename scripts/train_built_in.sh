#!/usr/bin/env bash
# Train the two sets of weights that ship and measure them: scripts/train_built_in.sh DATA OUT
# DATA: what `sssd-ecg prepare` wrote, or its signals.npz. OUT: a folder for the runs. Needs a CUDA device and
# pip install '.[train,eval]'. On an NVIDIA H200 the runs take about 17, 2 and 6 minutes; docs/model_card.md tells in what
# the runs of the weights that ship differed from these.
set -euo pipefail
data=$1 out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
sssd-ecg train --config default --data "$data" --out "$out/default" --accelerator cuda
sssd-ecg train --config guided --init "$out/default/model.safetensors" --data "$data" --out "$out/guided" --accelerator cuda
sssd-ecg distill --teacher "$out/guided/model.safetensors" --data "$data" --out "$out/few-step" --device cuda
rows="ddpm200 ddim100_eta1 ddim50_eta1 ddim50 ddim20 sde-dpmpp-2m20 unipc20 unipc10 unipc6 consistency4 consistency2 consistency1"
for seed in 7 8 9; do
    # shellcheck disable=SC2086
    python "$root/scripts/make_evaluation_sets.py" "$data" "$out/sets/$seed" $rows $(printf 'train_%s ' $rows) --seed "$seed" \
        --checkpoint "$out/guided/model.safetensors" --few-step "$out/few-step/model.safetensors" --device cuda
done
python "$root/scripts/sampler_quality.py" --real "$data" --sets "$out"/sets/{7,8,9} --figures "$out/figures.json" \
    --table "$out/samplers.md" --device cuda --trainers 8
python "$root/scripts/measure_model.py" --real "$data" --synthetic-test ddpm200="$out/sets/7/ddpm200.npz" \
    --synthetic-train ddpm200="$out/sets/7/train_ddpm200.npz" --json "$out/measured.json" --seeds 2 --device cuda
