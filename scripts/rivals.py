"""The same problems for this program and for what one would use instead, side by side in one run.

    pip install numpy scipy future pyfftw sporco==0.2.2.post1 matplotlib      (torch, if wanted)
    cargo build --release --bin deconvnet --example learn_problem
    python scripts/rivals.py coding  PROBLEM.npz ... --out rivals
    python scripts/rivals.py learning PROBLEM.npz ... --seeds 5 --out rivals
    python scripts/rivals.py online PROBLEM.npz --test TEST.npz --out rivals
    python scripts/rivals.py scaling  IMAGE --out rivals

A problem file holds images s [K, C, H, W], filters D0 [M, C, h, w], lmbda and boundary "valid" or, for
coding, "circular", SPORCO's home (--boundary of make);
`python scripts/rivals.py make IMAGE ... --out PROBLEM.npz` writes one, `draw IMAGE ... --out FOLDER`
as many of random sizes as --count tells, `scripts/problems.sh` those of the README. All minimise

    F = 1/2 || sum_m d_m * x_m - s ||^2 + lmbda || x ||_1

over the maps (coding), or over maps and filters in the unit ball, from the same first filters
(learning). F is worked out in double precision with the clock stopped.

coding: seconds to F <= 1.001 F_opt. F_opt is the file's, or what `deconvnet infer --gap 1e-5` ends
with. Rivals: SPORCO's AddMaskSim and mask-decoupled ADMM, its PGM with the exact step and with
backtracking, and FISTA in PyTorch; for circular problems its ConvBPDN by ADMM and by PGM. SPORCO's planning of Fourier transforms is not counted.

learning: SPORCO's ConvBPDNMaskDictLearn takes --iterations steps; then seconds of either to the
objective that it ended with, plus a share of 1e-5 (SPORCO's own constraint is the unit sphere,
which is no harder). Seeds other than 0 draw the first filters anew. Other rivals are torch-learning
and torch-learning-fft; the first of several sets the target.

--backend is ours; as a rival, flex or another puts that beside it. On a GPU, `scripts/gpu.sh` runs
both beside PyTorch (eager, no TF32) on the same card; our kernels' compilation counts, PyTorch's
first calls do not; memory is the host's.

online: each image is coded from nothing at every visit and its maps are dropped. SPORCO's
OnlineConvBPDNMaskDictLearn makes --epochs passes, or as many as --seconds allow; then seconds of
either to the objective that its last filters allow over the images of TEST.npz, from which neither
learns. Either is judged after every --every images.

scaling: our seconds to a duality gap of 1e-3 against pixels, images and threads, for a square of
64 x 64 at --corners of IMAGE, mirrored to every size.

Written are table.csv, table.md and a plot for each problem. Ratios are medians over --repeats runs
of both, taken in turn. Memory is the peak of the whole process.
"""

import argparse
import csv
import importlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from rivals_problems import draw, make, objective, planes, random_filters, read, save

ROOT = pathlib.Path(__file__).resolve().parent.parent
BACKENDS = ("flex", "ndarray", "wgpu", "vulkan", "metal", "cuda")
CODING = "sporco-ams,sporco-admm,sporco-pgm,sporco-pgm-robust,torch-fista"
CIRCULAR = "sporco-circular,sporco-circular-pgm"


class Watch:
    """Seconds of work, and F at every look, with the clock stopped while it is worked out."""

    def __init__(self, look, target, seconds):
        self.look, self.target, self.limit = look, target, seconds
        self.spent, self.curve = 0.0, []
        self.since = time.perf_counter()

    def __call__(self, *state):
        self.spent += time.perf_counter() - self.since
        f = self.look(*state)
        self.curve.append((self.spent, float(f)))
        self.since = time.perf_counter()
        return f <= self.target or self.spent > self.limit


def worker(args):
    """One run of one rival in a process of its own; prints its curve."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    module = importlib.import_module("rivals_" + args.rival.split("-")[0])
    s, d, lmbda = read(args.problem[0])
    if args.rival == "sporco-online":
        look = lambda d: least(args.test, d, args.threads)
    else:
        look = lambda d, x: objective(s, np.asarray(d), np.asarray(x), lmbda)
    watch = lambda look=look: Watch(look, args.target, args.seconds)
    json.dump(module.run(s, d, lmbda, args, watch), sys.stdout)



def least(test, d, threads):
    """The least objective of the images of a problem file under other filters."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "problem.npz"
        np.savez(path, **{**np.load(test), "D0": np.ascontiguousarray(d, np.float32)})
        return ours_coding(path, threads, "--gap", "1e-4", "--steps", "3000")[0][-1][1]


def measured(command, threads):
    """Output and peak memory in MiB of a process."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return output, usage.ru_maxrss / 1024


def program(name):
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "release" / name
    if not path.exists():
        sys.exit(f"{path} is not there; build it first, see the top of this script")
    return path


def ours_coding(path, threads, *more):
    command = [program("deconvnet"), "infer", "--problem", path, "--json", "--quiet", *more]
    output, memory = measured(command, threads)
    report = json.loads(output)
    curve = [(p["seconds"], p["at"]["objective"]) for p in report["curve"]]
    return curve, memory, report["curve"][-1]["at"]["density"]


def ours_learning(path, args, *more):
    with tempfile.NamedTemporaryFile(suffix=".csv") as out:
        command = [program("examples/learn_problem"), path, "--epochs", str(args.epochs)]
        command += [*every(args), "--out", out.name, *more]
        _, memory = measured(command, args.threads)
        rows = list(csv.DictReader(open(out.name)))
    curve = [(float(r["seconds"]), float(r["objective"])) for r in rows]
    return curve, memory, float(rows[-1]["non_zero_percent"]) / 100


def every(args):
    return ["--every", str(args.every)] if args.every else []


def theirs(rival, path, args, target):
    command = [sys.executable, __file__, "worker", path, "--rival", rival]
    command += ["--target", str(target), "--threads", str(args.threads)]
    command += ["--seconds", str(args.seconds), "--iterations", str(args.iterations)]
    command += ["--device", args.device]
    if args.test:
        command += ["--test", args.test, "--epochs", str(args.epochs), *every(args)]
    output, memory = measured(command, args.threads)
    return json.loads(output.decode().strip().splitlines()[-1]), memory


def reached(curve, target):
    """Seconds to the target, or infinity."""
    return next((t for t, f in curve if f <= target), float("inf"))


def compare(name, target, contenders, run, repeats):
    """Runs every contender in turn, `repeats` times; a row each, and the last curves. A run gives
    a curve, the memory and, where it is known, the density of the maps."""
    seconds, memory, curves, density = {}, {}, {}, {}
    for _ in range(repeats):
        for who in contenders:
            curves[who], peak, *density[who] = run(who)
            seconds.setdefault(who, []).append(reached(curves[who], target))
            memory.setdefault(who, []).append(peak)
            print(f"{name}  {who}  {seconds[who][-1]:.4f} s", file=sys.stderr, flush=True)
    ours = statistics.median(seconds[contenders[0]])
    rows = []
    for who in contenders:
        median = statistics.median(seconds[who])
        rows.append(
            {
                "problem": name,
                "who": f"deconvnet, {who}" if who in BACKENDS else who,
                "target": f"{target:.6f}",
                "seconds": f"{median:.4f}",
                "times ours": f"{median / ours:.3g}" if ours < float("inf") else "-",
                "least F": f"{min(f for _, f in curves[who]):.6f}",
                "MiB": f"{statistics.median(memory[who]):.0f}",
                "not zero": "".join(f"{share:.2%}" for share in density[who]),
            }
        )
    print(f"\n{markdown(rows)}", flush=True)
    return rows, curves


def plot(path, title, curves, best=None):
    """How far F is above the best, or without that F itself, against seconds."""
    try:
        import matplotlib
    except ImportError:
        return print(f"there is no matplotlib, so no {path}", file=sys.stderr)

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), dpi=120)
    for who, curve in curves.items():
        t, f = np.array(curve).T
        y = f if best is None else np.maximum(f / best - 1, 1e-7)
        width = 2.5 if who in BACKENDS else 1.2
        axes.loglog(np.maximum(t, 1e-3), y, label=who, linewidth=width)
    if best is not None:
        axes.axhline(1e-3, color="grey", linewidth=0.7, linestyle=":")
    label = "objective" if best is None else "objective / least - 1"
    axes.set(xlabel="seconds", ylabel=label, title=title)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def markdown(rows):
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join(lines + ["| " + " | ".join(row.values()) + " |" for row in rows])


def write(rows, out):
    with open(out / "table.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    (out / "table.md").write_text(markdown(rows) + "\n")


def coding(args):
    rows = []
    for path in args.problem:
        name = pathlib.Path(path).stem
        z = np.load(path)
        usual = CIRCULAR if str(z["boundary"]) == "circular" else CODING
        contenders = [args.backend, *(args.rivals or usual).split(",")]
        if "F_opt" in z:
            best = float(z["F_opt"])
        else:
            best = ours_coding(path, args.threads, "--gap", "1e-5", "--steps", "3000")[0][-1][1]
        target = 1.001 * best

        def run(who):
            if who not in BACKENDS:
                return theirs(who, path, args, target)
            more = [*every(args), "--backend", who, "--target", str(target)]
            if who != "flex":
                more += ["--solver", "fista", "--steps", "5000"]
            return ours_coding(path, args.threads, *more)

        found, curves = compare(name, target, contenders, run, args.repeats)
        rows += found
        plot(args.out / f"{name}.png", f"coding {name}", curves, best)
        write(rows, args.out)


def learning(args):
    rivals = (args.rivals or "sporco-learning").split(",")
    if not all("learning" in rival or rival in BACKENDS for rival in rivals):
        sys.exit(f"{args.rivals}: these do not all learn")
    rows = []
    for path, seed in itertools.product(args.problem, range(args.seeds)):
        with tempfile.TemporaryDirectory() as folder:
            name = f"{pathlib.Path(path).stem}-{seed}"
            problem = pathlib.Path(folder) / "problem.npz"
            z = dict(np.load(path))
            if seed:
                z["D0"] = random_filters(seed, *z["D0"].shape)
            np.savez(problem, **z)

            def run(who, target):
                if who not in BACKENDS:
                    return theirs(who, problem, args, target)
                more = [] if who == "flex" else ["--rounds", "10", f"--target={target}"]
                return ours_learning(problem, args, "--backend", who, *more)

            setter = next((rival for rival in rivals if rival not in BACKENDS), args.backend)
            full, *_ = run(setter, -1)
            # A hair above: with threads its sums differ from run to run.
            target = full[-1][1] * (1 + 1e-5)
            contenders = [args.backend, *rivals]
            found, curves = compare(
                name, target, contenders, lambda who: run(who, target), args.repeats
            )
        rows += found
        plot(args.out / f"{name}.png", f"learning {name}", curves)
        write(rows, args.out)


def online(args):
    if args.test is None:
        sys.exit("online: say what judges the filters, --test TEST.npz")
    args.every = args.every or 10
    rows = []
    for path in args.problem:
        name = pathlib.Path(path).stem
        curve, _ = theirs("sporco-online", path, args, -1)
        if not curve:
            sys.exit(f"{path}: no judgement within {args.epochs} epochs; take a smaller --every")
        target = curve[-1][1]

        def run(who):
            if who == "flex":
                return ours_learning(path, args, "--online", "--rounds", "8", "--test", args.test)
            return theirs(who, path, args, target)

        found, curves = compare(name, target, ["flex", "sporco-online"], run, args.repeats)
        rows += found
        plot(args.out / f"{name}.png", f"online {name}", curves)
        write(rows, args.out)


def scaling(args):
    """Seconds against the side of the image, the number of images and of threads."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    d = random_filters(args.seed, args.filters, 1, args.taps, args.taps)
    rows = []

    def time_of(images, threads):
        with tempfile.TemporaryDirectory() as folder:
            problem = pathlib.Path(folder) / "problem.npz"
            save(problem, images, d, args.lmbda)
            limits = ("--gap", "1e-3", "--steps", "3000")
            runs = [ours_coding(problem, threads, *limits)[0][-1][0] for _ in range(args.repeats)]
        return statistics.median(runs)

    def measure(what, x, images, threads):
        rows.append({"against": what, "x": x, "seconds": time_of(images, threads)})
        print(rows[-1], flush=True)

    # The same content at every size: mirrored, or once more.
    square = planes(args.problem[0], 64, False, args.corners[0])
    mirrored = lambda side: np.pad(square, ((0, 0), *2 * [(0, side - 64)]), "symmetric")
    for side in (64, 96, 128, 192, 256, 384, 512, 1024):
        measure("pixels", side * side, [mirrored(side)], args.threads)
    for n in (1, 2, 4, 8, 16, 32):
        measure("images", n, [mirrored(128)] * n, args.threads)
    for threads in range(1, args.threads + 1):
        measure("threads", threads, [mirrored(512)], threads)
    figure, all_axes = plt.subplots(1, 3, figsize=(10, 3.2), dpi=120)
    for axes, what in zip(all_axes, ("pixels", "images", "threads")):
        x, y = np.array([(r["x"], r["seconds"]) for r in rows if r["against"] == what], float).T
        straight = y[0] * (x / x[0]) ** (-1 if what == "threads" else 1)
        axes.loglog(x, y, "o-", label="deconvnet")
        axes.loglog(x, straight, ":", color="grey", label="in proportion")
        axes.set(xlabel=what, ylabel="seconds to a gap of 1e-3")
        axes.set_xticks(x if what != "pixels" else x[::3], minor=False)
        axes.set_xticklabels([f"{int(v)}" for v in (x if what != "pixels" else x[::3])])
        axes.minorticks_off()
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(args.out / "scaling.png")
    write([{k: str(v) for k, v in row.items()} for row in rows], args.out)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measures = ["coding", "learning", "online", "scaling"]
    parser.add_argument("task", choices=[*measures, "make", "draw", "worker"])
    parser.add_argument("problem", nargs="+", help="problem files; images for make, draw and scaling")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("rivals"))
    parser.add_argument("--rivals", help="with commas, other backends of ours too; the first of learning sets the target")
    parser.add_argument("--backend", default="flex", help="ours; on a GPU it solves by FISTA")
    parser.add_argument("--device", default="cpu", help="PyTorch's: cpu or cuda")
    parser.add_argument("--test", help="problem file whose images judge an online learner")
    parser.add_argument("--every", type=int, help="steps or visits of ours between two looks at F")
    parser.add_argument("--rival", help=argparse.SUPPRESS)
    parser.add_argument("--target", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="limit of each run of a rival")
    parser.add_argument("--iterations", type=int, help="limit of each run of a rival")
    parser.add_argument("--epochs", type=int, default=150, help="our epochs of learning; of both online")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=128)
    corners = lambda text: [int(corner) for corner in text.split(",")]
    parser.add_argument("--corners", type=corners, default=[0], help="of squares, with commas")
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--boundary", choices=["valid", "circular", "zero"], default="valid")
    parser.add_argument("--dictionary", help="of SPORCO, as G:8x8x32; without one, filters are random")
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--taps", type=int, default=8)
    parser.add_argument("--count", type=int, default=24, help="problems to draw")
    parser.add_argument("--lmbda", type=float, default=0.05)
    args = parser.parse_args()
    if args.task in ("online", "scaling") and args.backend != "flex":
        parser.error(f"{args.task} measures the CPU; leave out --backend")
    args.iterations = args.iterations or (100 if args.task == "learning" else 5000)
    if args.task in (*measures, "draw"):
        args.out.mkdir(parents=True, exist_ok=True)
    tasks = {
        "coding": coding,
        "learning": learning,
        "online": online,
        "scaling": scaling,
        "make": make,
        "draw": draw,
        "worker": worker,
    }
    tasks[args.task](args)


if __name__ == "__main__":
    main()
