#!/usr/bin/env bash
# Everything that is measured on a graphics card, in one command that ends within eight minutes:
#
#     scripts/gpu.sh build DIR [PHOTOS] [--tiny]
#     scripts/gpu.sh run DIR [--backend wgpu|cuda|vulkan] [--tiny] [--out OUT]
#
# build, where the sources are, fills DIR with what run needs, below 60 MiB: stripped programs, scripts,
# and a problem of 64 grey squares of the images in the folder PHOTOS, or of sample scenes. Other
# backends than wgpu are compiled in by FEATURES=vulkan or FEATURES=cuda.
#
# run, on x86-64 Linux with a graphics driver, needs DIR alone, and Python with NumPy and PyTorch. It
# tells of each part in OUT/gpu.md (by default DIR/gpu.md) once that is done, the rest in OUT/PART.log:
#
#     agreement   the tests of the backends against the CPU
#     kernels     the kernels, beside the bandwidth of the card
#     burn        the same for one image, beside Burn's own
#     steps       a step of each solver, on the card and on the CPU
#     coding      the maps of the problem, beside FISTA in PyTorch
#     learning    its maps and filters, beside PyTorch
#
# Each part has a limit of its own; one that fails does not stop the others, and makes the exit code 1.
# With --tiny, sizes are such that software Vulkan takes a minute, and PyTorch may be missing.
set -euo pipefail

usage() { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }

verb=${1:-} dir=${2:-} photos= backend=wgpu tiny= out=
[[ $verb =~ ^(build|run)$ && -n $dir ]] || usage
shift 2
while [ $# -gt 0 ]; do
  case $1 in
    --tiny) tiny=yes ;;
    --backend) backend=${2:?} && shift ;;
    --out) out=${2:?} && shift ;;
    -*) usage ;;
    *) photos=$1 ;;
  esac
  shift
done
python=${PYTHON:-python3}

build() {
  local here program name size=() pack=(xz --stdout --lzma2=preset=0,dict=96MiB)
  here=$(dirname "$0")
  mkdir -p "$dir"/{scripts,lib} "$unpacked"/release/examples
  cargo build --release --manifest-path "$here/../Cargo.toml" ${FEATURES:+--features "$FEATURES"} \
    --bin deconvnet --example learn_problem --example make_problem --bench gpu --bench steps --test it \
    --message-format json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' |
    while read -r program; do
      name=${program##*/}
      case $program in
        */examples/*) name=examples/$name ;;
        */deps/*) name=${name%-*} ;;
      esac
      strip -o "$unpacked/release/$name" "$program"
    done
  if [ -n "$tiny" ]; then size=(--images 2 --size 48 --maps 8 --taps 5) pack=(cat); fi
  "$unpacked/release/examples/make_problem" "$dir/problem.npz" ${photos:+--photos "$photos"} "${size[@]}"
  rm "$unpacked/release/examples/make_problem"
  # Programs that share most of their code are packed together, with a window that spans them.
  tar -C "$unpacked" -c release | "${pack[@]}" >"$dir/programs.tar"
  cp "$0" "$here"/rivals*.py "$dir/scripts"
  # A machine with a driver may lack the loader of Vulkan.
  cp -L "$(ldconfig -p | sed -n 's/.*libvulkan.so.1 .*x86-64.* => //p' | head -n 1)" "$dir/lib" || true
  git -C "$here" describe --always --dirty >"$dir/commit" || echo unknown >"$dir/commit"
  size=$(du -sm "$dir" | cut -f 1)
  echo "$dir: $size MiB"
  [ -n "$tiny" ] || [ "$size" -lt 60 ]
}

# part NAME SECONDS COMMAND...
part() {
  local name=$1 limit=$2 start=$SECONDS code=0 verdict=done
  shift 2
  echo "$name" >&2
  printf '\n## %s\n' "$name" >>"$report"
  timeout --kill-after=3 "$limit" "$@" >>"$report" 2>"$out/$name.log" || code=$?
  case $code in
    0) ;;
    124 | 137) verdict="stopped at its limit of $limit s" ;;
    *) verdict="failed with exit code $code" ;;
  esac
  if [ "$code" != 0 ]; then
    printf '\n%s, and said:\n\n```\n%s\n```\n' "$verdict" "$(tail -n 8 "$out/$name.log")" >>"$report"
  fi
  verdicts+="| $name | $((SECONDS - start)) | $verdict |"$'\n'
  [ "$code" = 0 ] || failed=1
}

run() {
  failed=0 verdicts= out=${out:-$dir} report=$out/gpu.md
  mkdir -p "$out"
  export CARGO_TARGET_DIR=$unpacked DECONVNET_REQUIRE=$backend
  "$python" -m tarfile -e "$dir/programs.tar" "$unpacked"
  if ! ldconfig -p | grep libvulkan.so.1 >/dev/null; then
    export LD_LIBRARY_PATH=$dir/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  fi
  local programs=$unpacked/release kernels burn steps coding learning torch=
  if [ -n "$tiny" ]; then
    if "$python" -c 'import torch' 2>/dev/null; then torch=yes; fi
    burn=(--images 1 --size 32 --maps 4 --taps 5 --planes 1 --calls 1)
    kernels=(--alone "${burn[@]}")
    steps=(--sizes tiny)
    coding=(--rivals "flex${torch:+,torch-fista}" --every 2)
    learning=(--rivals "flex${torch:+,torch-learning}" --epochs 5 --iterations 3)
  else
    # Without autotune, Burn's own take too long, and too much memory, for many images.
    burn=(--images 1 --planes 1)
    kernels=(--alone)
    steps=(--sizes large)
    coding=(--device cuda --rivals torch-fista,torch-fista-fft,flex --every 10)
    learning=(--device cuda --rivals torch-learning-fft --epochs 20 --iterations 20 --every 2)
  fi
  {
    printf '# GPU measurements\n\n```\ncommit   %s\n' "$(cat "$dir/commit")"
    printf 'backend  %s\nat       %s\nCPUs     %s, ' "$backend" "$(date -u '+%F %R UTC')" "$(nproc)"
    sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1
    timeout --kill-after=3 15 "$programs/deconvnet" backends || true
    timeout --kill-after=3 5 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
    printf '```\n'
  } >"$report" 2>"$out/machine.log"

  part agreement 75 bash -c '
    printf "\n| test | |\n|---|---|\n"
    set -o pipefail
    "$0" gpu:: backends:: | tee /dev/stderr | sed -un "s/^test \(.*\) \.\.\. \(.*\)/| \1 | \2 |/p"
  ' "$programs/it"
  part kernels 50 "$programs/gpu" --backend "$backend" "${kernels[@]}"
  part burn 30 "$programs/gpu" --backend "$backend" "${burn[@]}"
  part steps 75 "$programs/steps" --backend "$backend,flex" "${steps[@]}" --seconds 0.5
  local rivals=("$python" "$dir/scripts/rivals.py") problem=("$dir/problem.npz" --backend "$backend")
  problem+=(--repeats 1 --seconds 15)
  part coding 105 "${rivals[@]}" coding "${problem[@]}" "${coding[@]}" --out "$out/coding"
  part learning 105 "${rivals[@]}" learning "${problem[@]}" "${learning[@]}" --out "$out/learning"

  printf '\n## parts\n\n| part | seconds | |\n|---|---|---|\n%s' "$verdicts" | tee -a "$report"
  return "$failed"
}

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
"$verb"
