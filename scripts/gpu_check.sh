#!/bin/bash
# Check everything that needs a GPU, the most valuable first, and keep the output of each step as it
# ends: a check that is cut off still leaves figures. Needs the packages of setup.cfg with a CUDA
# build of torch; installs nothing. DEVICE=cpu OPTIONS="--seeds 2 --iterations 30" tries the script
# itself without a GPU.
#
#     scripts/gpu_check.sh [DIRECTORY]      (default: gpu-check; PYTHON: the interpreter)
#
# DIRECTORY/summary.txt has a line for each step: exit code, seconds, name.
set -u
cd "$(dirname "$0")/.." || exit 1
out=$(realpath -m "${1:-${OUT:-gpu-check}}")
python=${PYTHON:-python3} device=${DEVICE:-cuda}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
export OPTIMIZER_BENCH_DATA=$work/data PYTHONPATH=$PWD
failed=0

step() {  # NAME SECONDS COMMAND...: run a command with a limit, and add a line to the summary
    local name=$1 limit=$2 started=$SECONDS code
    shift 2
    printf '\n== %s: %s\n' "$name" "$*" >>"$out/log.txt"
    timeout "$limit" "$@" >>"$out/log.txt" 2>&1
    code=$?
    printf '%3d %5d s  %s\n' "$code" $((SECONDS - started)) "$name" | tee -a "$out/summary.txt"
    [ $code = 0 ] || failed=1
}

sweep() {  # NAME SECONDS OPTIONS...: a sweep on the device
    local name=$1 limit=$2
    shift 2
    step "sweep $name" "$limit" "$python" scripts/sweep.py --device "$device" --name "$name" \
        --results "$work/results" --reports "$work/reports" "$@" ${OPTIONS:-}
}

: >"$out/summary.txt" >"$out/log.txt"
step "environment" 60 "$python" -c "import torch; print(torch.__version__, torch.version.cuda,
    torch.cuda.is_available() and torch.cuda.get_device_properties(0))"
step "driver" 20 nvidia-smi
sweep "one" 60 --optimizers sgd --seeds 1 --no-report
sweep "default" 120
cp "$work/reports/default.html" "$work/results/default/runs.parquet" "$out/" 2>>"$out/log.txt"
step "the same as on the processor" 60 "$python" scripts/compare.py results/example \
    "$work/results/default" --html "$out/compare.html"
sweep "again" 120 --no-report
step "the same again, bit for bit" 60 "$python" -c "
import sys
from pathlib import Path
from bench.storage.store import Store
from bench.sweeps.merge import COMPARED
columns = ['optimizer', 'seed', *COMPARED]
first, second = (Store(Path(p)).read_rows().select(columns).to_pylist() for p in sys.argv[1:])
differing = [(a['optimizer'], a['seed']) for a, b in zip(first, second, strict=True) if a != b]
sys.exit(f'{len(differing)} of {len(first)} rows differ: {differing[:5]}' if differing else 0)
" "$work/results/default" "$work/results/again"
step "tests" 180 "$python" -m pytest -q -m gpu -p no:cacheprovider
step "benchmark" 180 "$python" scripts/benchmark.py --device "$device" --repeats 1 \
    --json "$out/benchmark.json"
sweep "8x1000" 180 --seeds 1000 --no-report
exit $failed
