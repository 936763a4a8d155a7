#!/usr/bin/env bash
# Train the three sets of weights that ship and measure them: scripts/train_built_in.sh DATA OUT
# DATA: what `sssd-ecg prepare` wrote, or its signals.npz. OUT: a folder for the runs. Needs a CUDA device and
# pip install '.[train,eval]'. On an NVIDIA H200 the runs take about 17, 2, 6 and 50 minutes, each solver 15 more;
# docs/model_card.md and docs/decisions/few-step.md tell in what the runs of the weights that ship differed from these.
set -euo pipefail
data=$1 out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
sssd-ecg train --config default --data "$data" --out "$out/default" --accelerator cuda
sssd-ecg train --config guided --init "$out/default/model.safetensors" --data "$data" --out "$out/guided" --accelerator cuda
teacher="$out/guided/model.safetensors"
sssd-ecg distill --teacher "$teacher" --data "$data" --out "$out/few-step" --device cuda
one() { sssd-ecg distill --teacher "$teacher" --data "$data" --device cuda --config "$1" --init "$2" --out "$out/$3"; }
mean() { python "$root/scripts/average_weights.py" "$@"; }
one one-step "$out/few-step/model.safetensors" one-step-1
for run in 2a 2b; do one "$root/scripts/one-step-$run.json" "$out/one-step-1/model.safetensors" "one-step-$run"; done
mean "$out"/one-step-{2a,2b}/model.safetensors --out "$out/one-step-2.safetensors"
for run in 3 4 5 6 7; do # each from the mean of the run before it and of where that began; 3 from 2
    one "$root/scripts/one-step-$run.json" "$out/one-step-$((run - 1)).safetensors" "one-step-$run"
    mean "$out/one-step-$run/model.safetensors" "$out/one-step-$((run - 1)).safetensors" --out "$out/one-step-$run.safetensors"
done
one polish "$out/one-step-7.safetensors" polished
cp "$out/polished/model.safetensors" "$out/one-step.safetensors"
sssd-ecg fit --checkpoint "$teacher" --data "$data" --steps 6 --generations 80 --out "$out/six.safetensors" --device cuda
sssd-ecg fit --checkpoint "$out/six.safetensors" --data "$data" --steps 10 --out "$out/default.safetensors" --device cuda
rows="ddpm200 ddim100_eta1 ddim50_eta1 ddim50 ddim20 sde-dpmpp-2m20 unipc20 unipc10 unipc6 fitted10 fitted6"
rows="$rows consistency4 consistency2 consistency1"
for seed in 7 8 9; do
    # shellcheck disable=SC2086
    python "$root/scripts/make_evaluation_sets.py" "$data" "$out/sets/$seed" $rows $(printf 'train_%s ' $rows) --seed "$seed" \
        --checkpoint "$out/default.safetensors" --few-step "$out/few-step/model.safetensors" \
        --one-step "$out/one-step.safetensors" --device cuda
done
python "$root/scripts/sampler_quality.py" --real "$data" --sets "$out"/sets/{7,8,9} --figures "$out/figures.json" \
    --table "$out/samplers.md" --device cuda --trainers 8
python "$root/scripts/measure_model.py" --real "$data" --synthetic-test ddpm200="$out/sets/7/ddpm200.npz" \
    --synthetic-train ddpm200="$out/sets/7/train_ddpm200.npz" --json "$out/measured.json" --seeds 2 --device cuda
