#!/usr/bin/env bash
# Train the model that ships and measure it: scripts/train_built_in.sh DATA OUT
# DATA: what `sssd-ecg prepare` wrote, or its signals.npz. OUT: a folder for the run. Needs a CUDA device and
# pip install '.[train,eval]'. The model of docs/model_card.md was stopped after 400 s on an NVIDIA H200, at about
# iteration 15,650 of the 27,000 of the configuration; without --max-minutes the run goes on to their end.
set -euo pipefail
data=$1 out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
sssd-ecg train --config default --data "$data" --out "$out" --accelerator cuda --max-minutes 6.67
python "$root/scripts/make_evaluation_sets.py" "$data" "$out/sets" \
    ddpm200 ddim50 ddim20 train_ddim50 single_name single_name_completed --checkpoint "$out/model.safetensors" --device cuda
python "$root/scripts/measure_model.py" --real "$data" --synthetic-test ddpm200="$out/sets/ddpm200.npz" \
    --synthetic-test ddim50="$out/sets/ddim50.npz" --synthetic-test ddim20="$out/sets/ddim20.npz" \
    --synthetic-train ddim50="$out/sets/train_ddim50.npz" --json "$out/measured.json" --seeds 2 --device cuda
python "$root/scripts/measure_single_names.py" "$data" "$out/single_names.json" --device cuda \
    single_name="$out/sets/single_name.npz" single_name_completed="$out/sets/single_name_completed.npz"
