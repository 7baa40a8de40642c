#!/usr/bin/env bash
# Several processes on this machine, with MPI, learn what one learns: tries it, with kills at random moments, each
# followed by a resume on another number of processes. What `cargo test` does with threads, with real processes.
#   scripts/mpi.sh                  builds the program with the feature, and tries it
#   scripts/mpi.sh PROGRAM          tries one that is built
# Wants MPI's mpirun, to build also its headers and libclang (Debian: libopenmpi-dev openmpi-bin libclang-dev), and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

program="${1:-}"
if [ -z "$program" ]; then
  export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
  cargo build --release --features mpi --bin deconvnet
  # The next build without the feature takes its place.
  mkdir -p "$CARGO_TARGET_DIR/mpi"
  cp "$CARGO_TARGET_DIR/release/deconvnet" "$CARGO_TARGET_DIR/mpi/deconvnet"
  program="$CARGO_TARGET_DIR/mpi/deconvnet"
fi
program="$(realpath "$program")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
export RAYON_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# In a container processes may not read each other's memory; Open MPI would tell so in a warning.
export OMPI_MCA_btl_vader_single_copy_mechanism=none
launch=(mpirun --oversubscribe --bind-to none -n)
together() { local n="$1"; shift; "${launch[@]}" "$n" "$program" "$@"; }
fail() { echo "mpi.sh FAILED: $*"; exit 1; }

# The largest difference between the arrays of two .npz files, beside the largest number, is at most $3.
cat >compare.py <<'P'
import struct, sys, zipfile
def arrays(path):
    found = {}
    for name in (z := zipfile.ZipFile(path)).namelist():
        raw = z.read(name)
        if b"'<f4'" in raw[:256]:
            body = raw[10 + struct.unpack("<H", raw[8:10])[0]:]
            found[name] = struct.unpack(f"<{len(body) // 4}f", body)
    return found
a, b = arrays(sys.argv[1]), arrays(sys.argv[2])
assert a and a.keys() == b.keys(), (a.keys(), b.keys())
far = max(max(abs(x - y) for x, y in zip(a[k], b[k])) / max(map(abs, a[k])) for k in a)
print(f"{sys.argv[1]} and {sys.argv[2]}: {far:.1e} apart")
sys.exit(far > float(sys.argv[3]))
P
same() { python3 compare.py "$1.npz" "$2.npz" "$3" || fail "$1 and $2 differ"; }
export_run() { "$program" export --quiet --checkpoint "./$1" --out "$1.npz"; }

settings() {
  cat <<T
[data]
colour = false
sample_count = 10
sample_size = 40
[checkpoint]
every_seconds = 0.0
[train]
constraint = "unit-ball"
$1
T
}
settings 'solver = "descent"
update_filters = "online"
batch = 4
rounds = 8
[[layer]]
maps = 8
size = 7
epochs = 2
sparsity = { of_max = 0.1 }' >online.toml
settings 'solver = "fista"
update_filters = "epoch"
steps = 20
[[layer]]
maps = 6
size = 5
epochs = 2
sparsity = { of_max = 0.1 }
[[layer]]
maps = 6
size = 5
epochs = 2
sparsity = { of_max = 0.1 }' >epoch.toml

for kind in online epoch; do
  "$program" train --quiet -c $kind.toml --run "./$kind-1"
  export_run $kind-1
  for n in 1 2 4; do
    together $n train --quiet -c $kind.toml --run "./$kind-of-$n"
    export_run $kind-of-$n
    same $kind-1 $kind-of-$n 1e-5
  done
  together 2 train --quiet -c $kind.toml --run "./$kind-again"
  export_run $kind-again
  same $kind-of-2 $kind-again 0
done

# A process is killed at a random moment; the others end, and as many as there are then go on. Longer runs, in which
# rounding grows.
for kind in online epoch; do
  sed -i 's/^epochs = 2/epochs = 12/' $kind.toml
  "$program" train --quiet -c $kind.toml --run "./$kind-long"
  export_run $kind-long
  run="./$kind-killed"
  tries=0
  for n in 2 4 1 3 2 1 4 3 2 1; do
    tries=$((tries + 1))
    [ -e "$run/checkpoint.json" ] && from="--resume $run" || from="-c $kind.toml --run $run"
    # Open MPI 4.1 at times waits for ever where a process is killed before it has joined the others.
    timeout -k 5 20 "${launch[@]}" $n "$program" train --quiet $from </dev/null >killed.log 2>&1 &
    patience=$!
    sleep "0.$((RANDOM % 8 + 2))"
    launcher=$(pgrep -P $patience || true)
    victims=($([ -z "$launcher" ] || pgrep -P $launcher || true))
    [ ${#victims[@]} -gt 0 ] && kill -9 "${victims[$((RANDOM % ${#victims[@]}))]}" 2>/dev/null || true
    wait $patience && done=yes || done=no
    [ $done = yes ] && break
  done
  together 3 train --quiet --resume "$run" || fail "$kind: what was killed does not resume"
  export_run $kind-killed
  echo "$kind: $tries starts"
  same $kind-long $kind-killed 1e-3
done

# One process is interrupted: all stop at the next step, with a checkpoint.
"${launch[@]}" 2 "$program" train -c online.toml --run ./stopped </dev/null >stopped.log 2>&1 &
launcher=$!
for _ in $(seq 100); do grep -q "epoch 1/" stopped.log && break; sleep 0.1; done
kill -INT "$(pgrep -P $launcher | tail -n 1)"
wait $launcher && fail "an interrupted run ended as if it were done" || code=$?
[ $code = 130 ] || { cat stopped.log; fail "exit code $code after an interruption"; }
grep -q "interrupted after" stopped.log || { cat stopped.log; fail "it does not say that it was interrupted"; }
together 1 train --quiet --resume ./stopped
export_run stopped
same online-long stopped 1e-3

# A process that stands still is told by one of those who wait; if it goes on, so do they, and if not, they end.
stand_still() {
  "${launch[@]}" 3 "$program" train -c online.toml --run "./$1" --max-wait 12 </dev/null >"$1.log" 2>&1 &
  launcher=$!
  for _ in $(seq 100); do grep -q "epoch 1/" "$1.log" && break; sleep 0.1; done
  victim="$(pgrep -P $launcher | tail -n 1)"
  kill -STOP "$victim"
  for _ in $(seq 200); do grep -q "^warning: .*waited" "$1.log" && break; sleep 0.1; done
}
late="the others have waited for process [0-2] (pid %s on [^)]*), without a sign of life"
stand_still paused
kill -CONT "$victim"
wait $launcher || { cat paused.log; fail "what stood still for a while does not go on"; }
grep -q "^warning: for . s $(printf "$late" "$victim")" paused.log || { cat paused.log; fail "nobody tells who is late"; }
export_run paused
same online-long paused 1e-3
stand_still hung
wait $launcher && fail "what hangs ends as if it were done" || code=$?
kill -KILL "$victim" 2>/dev/null || true
[ $code = 6 ] || { cat hung.log; fail "exit code $code where a process hangs"; }
[ "$(grep -c "^error: for 1. s $(printf "$late" "$victim")" hung.log)" = 1 ] || { cat hung.log; fail "one tells who hangs"; }
together 2 train --quiet --resume ./hung
export_run hung
same online-long hung 1e-3
[ -z "$(find . -name '*.processes')" ] || fail "signs of life are left: $(find . -name '*.processes')"

# What goes wrong is told once.
together 4 train -c online.toml --run ./online-1 >told.log 2>&1 && fail "an occupied folder was taken" || true
[ "$(grep -c '^error: ' told.log)" = 1 ] || { cat told.log; fail "one error is told once"; }
together 8 train -c online.toml --run ./idle >told.log 2>&1 && fail "a batch smaller than the group" || true
[ "$(grep -c '^error: .*train.batch is 4, and 8' told.log)" = 1 ] || { cat told.log; fail "too small a batch is told once"; }

# Images are shared out, and one table made.
"$program" export --quiet --checkpoint ./online-1 --out maps.npz
mkdir images
cp online-1/pictures/*.png images/ 2>/dev/null || true
"$program" infer --quiet --checkpoint ./online-1 --images images --out alone --max-side 60 --steps 10 --maps none
together 3 infer --quiet --checkpoint ./online-1 --images images --out shared --max-side 60 --steps 10 --maps none
untimed() { cut -d, -f1-10 "$1"; }
[ "$(untimed alone/table.csv)" = "$(untimed shared/table.csv)" ] || fail "the table of three processes is another"

# What makes the maps of a convnet strongest: by one process, by three, and by shards, the same files.
"$program" convnet train --quiet --samples 30 --size 16 --width 0.06 --batch 10 --epochs 1 --run ./net
mkdir photos
python3 - <<'P'
import random
random.seed(1)
for k in range(30):
    pixels = bytes(random.randrange(256) for _ in range(3 * 20 * 20))
    for name in [f"{k}", f"{k}-again"]:
        open(f"photos/{name}.ppm", "wb").write(b"P6 20 20 255\n" + pixels)
P
strongest=(convnet strongest --quiet --preset plain --model net/model-epoch001.onnx --images photos --maps 4 --out strongest)
"$program" "${strongest[@]}"
mv strongest strongest-1
together 3 "${strongest[@]}"
mv strongest strongest-3
for n in 1 2; do "$program" "${strongest[@]}" --shard $n/2; done
"$program" "${strongest[@]}"
for n in strongest-1 strongest-3; do
  diff -r $n strongest || fail "the strongest of shards and of $n are not the same"
done

# One picture in tiles, by one process and by three: the same bits.
mkdir large
cp online-1/pictures/curves.png large/
tiles=(infer --quiet --checkpoint ./online-1 --images large --tile 160 --gap 1e-2 --out)
"$program" "${tiles[@]}" tiles-1
together 3 "${tiles[@]}" tiles-3
sums() { (cd "$1" && find . -type f ! -name 'table.*' -exec sha256sum {} + | sort -k 2); }
[ "$(sums tiles-1 | wc -l)" -gt 2 ] || fail "tiles leave no files"
[ "$(sums tiles-1)" = "$(sums tiles-3)" ] || fail "tiles of three processes are others"
echo "mpi.sh: passed"
