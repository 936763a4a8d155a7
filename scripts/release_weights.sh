#!/usr/bin/env bash
# Make the weights that ship, from recordings to measurements: scripts/release_weights.sh DATA OUT [MINUTES]
#
# DATA: what scripts/release_data.py reads, or the folders that it wrote (ptbxl/ and further sets). OUT: a folder for
# the runs. MINUTES: stop cleanly after so many; the same command then goes on. Uses all GPUs of this machine.
# Needs pip install '.[train,eval]'. What a run goes on from is kept in parts of 15 MB as well (OUT/*/last.pt.part-*),
# for machines that files must be carried to.
#
#   OUT/base      the transformer, trained on all sets
#   OUT/guided    it learns what it predicts under guidance: the default model
#   OUT/few-step  its student for 4, 2 and 1 evaluations
#   OUT/measured  ECGs for the label vectors of fold 9, and what `sssd-ecg evaluate` says of them
set -euo pipefail
data=$1 out=$2 minutes=${3:-}
root=$(cd "$(dirname "$0")/.." && pwd)
started=$(date +%s)
gpus=$(python -c 'import torch; print(torch.cuda.device_count())')
mkdir -p "$out"
exec > >(tee -a "$out/release.log") 2>&1
echo "$(date -u +%FT%TZ) $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo 'no commit'), $gpus GPUs"

if [ ! -f "$data/ptbxl/signals.npz" ]; then
    [ -f "$out/data/ptbxl/signals.npz" ] || python "$root/scripts/release_data.py" "$data" "$out/data"
    data=$out/data
fi
more=()
for folder in "$data"/*/; do
    [ "$(basename "$folder")" = ptbxl ] || more+=(--more "$folder")
done

left() { # the option that stops a run in time, or nothing
    if [ -n "$minutes" ]; then
        python -c "import time; print('--max-minutes', max(0, $minutes - (time.time() - $started) / 60))"
    fi
}

run() { # run NAME COMMAND...: a stage on all GPUs, which goes on where it stopped
    local name=$1
    shift
    local folder=$out/$name
    mkdir -p "$folder"
    if [ -f "$folder/done" ]; then return; fi
    if [ ! -f "$folder/last.pt" ] && [ -f "$folder/last.pt.part-aa" ]; then
        cat "$folder"/last.pt.part-* > "$folder/last.pt"
    fi
    local launch=(python -m sssd)
    if [ "$gpus" -gt 1 ]; then
        launch=(python -m torch.distributed.run --standalone --nproc-per-node "$gpus" -m sssd)
    fi
    # shellcheck disable=SC2046
    "${launch[@]}" "$@" --out "$folder" $(left) | tee "$folder/last-run.log"
    rm -f "$folder"/last.pt.part-*
    if grep -q '^stopped at' "$folder/last-run.log"; then
        split -b 15000000 "$folder/last.pt" "$folder/last.pt.part-"
        echo "out of time in $name: the same command goes on"
        exit 0
    fi
    rm -f "$folder/last-run.log"
    touch "$folder/done"
}

run base train --config transformer --data "$data/ptbxl" "${more[@]}"
run guided train --config guided --init "$out/base/model.safetensors" --data "$data/ptbxl" "${more[@]}"
run few-step distill --config few-step --teacher "$out/base/model.safetensors" --data "$data/ptbxl"

rows="ddpm200 dpmpp-2m20 ddim50_eta1 consistency4 consistency2 consistency1"
for seed in 7 8 9; do
    [ -f "$out/measured/$seed/done" ] && continue
    # shellcheck disable=SC2046,SC2086
    python "$root/scripts/make_evaluation_sets.py" "$data/ptbxl" "$out/measured/$seed" $rows $(printf 'train_%s ' $rows) \
        --seed "$seed" --checkpoint "$out/guided/model.safetensors" --few-step "$out/few-step/model.safetensors" \
        --one-step "$out/few-step/model.safetensors"
    touch "$out/measured/$seed/done"
done
python "$root/scripts/sampler_quality.py" --real "$data/ptbxl" --sets "$out"/measured/{7,8,9} \
    --figures "$out/measured/figures.json" --table "$out/measured/samplers.md"
for row in ddpm200 consistency4 consistency1; do
    [ -f "$out/measured/$row.json" ] || python -m sssd evaluate --real "$data/ptbxl" \
        --synthetic "$out/measured/7/$row.npz" --json "$out/measured/$row.json" --html "$out/measured/$row.html"
done
