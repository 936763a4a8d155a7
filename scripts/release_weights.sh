#!/usr/bin/env bash
# Make the weights that ship, from recordings to measurements: scripts/release_weights.sh DATA OUT [MINUTES]
#
# DATA: what scripts/release_data.py reads, or the folders that it wrote (ptbxl/ and further sets). OUT: a folder for
# the runs. MINUTES: the script stops cleanly after so many; the same command then goes on. It uses all GPUs of this
# machine, and needs pip install '.[train,eval]'. When a training run is stopped, the file from which it goes on is also
# kept in parts of 15 MB (OUT/*/last.pt.part-*), so that it can be copied to another machine piece by piece.
#
#   OUT/base        the transformer, trained on all sets
#   OUT/guided      the same network after it has learnt its own predictions under guidance
#   OUT/refined-1   the same, first calibrated, then taught by a discriminator of its records (scripts/refine.py)
#   OUT/refined-2   the same after a second round, from records of all three qualities, and
#   OUT/refined-3   after a third
#   OUT/calibrated  these weights with the gains of the qualities and the share of means: the model that ships
#   OUT/detail      the network for 500 Hz, from the recordings in DATA/ecg_500hz if they are there
#   OUT/measured    ECGs for the label vectors of fold 9 and of all folds, and what is measured on them. From these
#                   files, scripts/model_pages.py writes the tables of the model card and of docs/samplers.md
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

launch=(python) # or one process for each GPU
if [ "$gpus" -gt 1 ]; then
    launch=(python -m torch.distributed.run --standalone --nproc-per-node "$gpus")
fi

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
    # shellcheck disable=SC2046
    "${launch[@]}" -m sssd "$@" --out "$folder" $(left) | tee "$folder/last-run.log"
    rm -f "$folder"/last.pt.part-*
    if grep -q '^stopped at' "$folder/last-run.log"; then
        split -b 15000000 "$folder/last.pt" "$folder/last.pt.part-"
        echo "out of time in $name: the same command goes on"
        exit 0
    fi
    rm -f "$folder/last-run.log"
    touch "$folder/done"
}

run base train --config default --data "$data/ptbxl" "${more[@]}"
run guided train --config guided --init "$out/base/model.safetensors" --data "$data/ptbxl" "${more[@]}"

device() { # device N: the one of process N, where several run at once
    if [ "$gpus" -gt 0 ]; then echo "cuda:$(($1 % gpus))"; else echo cpu; fi
}

refine() { # refine NAME IN OPTION...: calibrate, so that means do not give records away, then refine
    local folder=$out/$1
    if [ -f "$folder/model.safetensors" ]; then return; fi
    mkdir -p "$folder"
    python "$root/scripts/calibrate.py" "$2" "$data/ptbxl" "$folder/calibrated.safetensors"
    "${launch[@]}" "$root/scripts/refine.py" "$folder/calibrated.safetensors" "$data/ptbxl" "$folder/part.safetensors" \
        "${@:3}" | tee "$folder/log.txt"
    mv "$folder/part.safetensors" "$folder/model.safetensors"
}
refine refined-1 "$out/guided/model.safetensors" --made best best best --rate 2e-4 --discriminator-steps 1000
refine refined-2 "$out/refined-1/model.safetensors" --made best standard draft --rate 1e-4
refine refined-3 "$out/refined-2/model.safetensors" --made best standard draft --rate 1e-4

if [ ! -f "$out/calibrated/model.safetensors" ]; then
    mkdir -p "$out/calibrated"
    python "$root/scripts/calibrate.py" "$out/refined-3/model.safetensors" "$data/ptbxl" \
        "$out/calibrated/part.safetensors"
    mv "$out/calibrated/part.safetensors" "$out/calibrated/model.safetensors"
fi

if [ -d "$1/ecg_500hz" ] && [ ! -f "$out/detail/detail.safetensors" ]; then
    mkdir -p "$out/detail"
    python "$root/scripts/train_detail.py" "$1/ecg_500hz" "$out/detail/part.safetensors" | tee "$out/detail/log.txt"
    mv "$out/detail/part.safetensors" "$out/detail/detail.safetensors"
fi

# Three sets of each sampler for its quality; for each quality of the package one set for `sssd-ecg evaluate`.
rows="ddpm200 ddim100_eta1 ddim50_eta1 ddim50 ddim20 sde-dpmpp-2m50 sde-dpmpp-2m20 dpmpp-2m20 unipc20"
shown="ddpm200 sde-dpmpp-2m24_karras sde-ode-dpmpp-2m12_karras sde-ode-dpmpp-2m8_karras"
rows="$rows ${shown#ddpm200 }"
sets() { # sets FOLDER SEED ROW...
    python "$root/scripts/make_evaluation_sets.py" "$data/ptbxl" "$out/measured/$1" "${@:3}" --seed "$2" \
        --checkpoint "$out/calibrated/model.safetensors"
}
for seed in 7 8 9; do
    # shellcheck disable=SC2046,SC2086
    sets "$seed" "$seed" $rows $(printf 'train_%s ' $rows)
done
# shellcheck disable=SC2046,SC2086
sets all 7 $(printf 'all_%s ' $shown) $(printf 'rate_%s ' $shown)
# All at once, since small networks leave a GPU idle.
python "$root/scripts/sampler_quality.py" --real "$data/ptbxl" --sets "$out"/measured/{7,8,9} \
    --figures "$out/measured/figures.json" --table "$out/measured/samplers.md" --trainers 4 &
running=($!)
for row in $shown; do
    if [ ! -f "$out/measured/$row.json" ]; then
        python -m sssd evaluate --real "$data/ptbxl" --synthetic "$out/measured/all/all_$row.npz" \
            --json "$out/measured/$row.json" --html "$out/measured/$row.html" --overwrite \
            --device "$(device ${#running[@]})" > "$out/measured/$row.txt" &
        running+=($!)
    fi
done
for process in "${running[@]}"; do wait "$process"; done # stops here if one of them failed
python "$root/scripts/model_pages.py" "$out/measured"
