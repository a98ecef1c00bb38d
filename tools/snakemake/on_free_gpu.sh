#!/usr/bin/env bash
# Runs a command on a GPU that no other call with the same folder has, as its GPU 0.
#   tools/snakemake/on_free_gpu.sh N FOLDER COMMAND…    N GPUs: those of CUDA_VISIBLE_DEVICES, or 0 to N-1
# A lock in FOLDER for each GPU ends with the command, however that ends.
set -euo pipefail
count=$1 folder=$2
shift 2
command -v flock >/dev/null || { echo "error: flock is missing; it is in the package util-linux" >&2; exit 2; }
IFS=, read -ra cards <<<"${CUDA_VISIBLE_DEVICES:-$(seq -s, 0 $((count - 1)))}"
mkdir -p "$folder"
while :; do
  for card in "${cards[@]:0:count}"; do
    exec 9>"$folder/$card"
    if flock -n 9; then
      CUDA_VISIBLE_DEVICES=$card exec "$@"
    fi
  done
  sleep 1
done
