#!/usr/bin/env bash
# Train one setting on a machine with a GPU, torch, numpy, safetensors and no network:
#   experiments/gpu/train.sh SETTING CACHE OUT [MINUTES] [more arguments of train.py]
# First it times some steps with and without torch.compile and goes on with the faster way.
# STEPS says how many. Exit code 0: the model is in OUT/pieces; 3: the time was up, the same call goes on.
set -euo pipefail
setting=$1 cache=$2 out=$3 minutes=${4:-8}
shift "$(($# < 4 ? $# : 4))"
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
began=$SECONDS
how=()
if [ ! -e "$out/checkpoint.safetensors" ]; then
    speed() {
        timeout 150 "$python" "$here/train.py" "$setting" --cache "$cache" --out "$out" \
            "${@:2}" --benchmark "${STEPS:-100}" | tee /dev/stderr | sed -n 's/,//g; s/^\([0-9]*\) images.*/\1/p'
    }
    plain=$(speed plain "$@")
    fused=$(speed fused "$@" --compile || true)
    if [ "${fused:-0}" -gt "$plain" ]; then how=(--compile); fi
    echo "images/s: $plain; with torch.compile: ${fused:-failed}" >&2
fi
left=$(awk -v m="$minutes" -v s="$((SECONDS - began))" 'BEGIN { print m - s / 60 }')
exec "$python" "$here/train.py" "$setting" --cache "$cache" --out "$out" --minutes "$left" \
    "${how[@]}" "$@"
