"""The same problems for this program and for what one would use instead, side by side in one run.

    pip install numpy scipy future pyfftw sporco==0.2.2.post1 matplotlib      (torch, if wanted)
    cargo build --release --bin deconvnet --example learn_problem
    python scripts/rivals.py coding  PROBLEM.npz ... --out rivals
    python scripts/rivals.py learning PROBLEM.npz ... --seeds 5 --out rivals
    python scripts/rivals.py online PROBLEM.npz --test TEST.npz --out rivals
    python scripts/rivals.py scaling  IMAGE --out rivals

A problem file holds images s [K, C, H, W], filters D0 [M, C, h, w], lmbda and boundary "valid";
`python scripts/rivals.py make IMAGE ... --out PROBLEM.npz` writes one, `draw IMAGE ... --out FOLDER`
as many of random sizes as --count tells, `scripts/problems.sh` those of the README. All minimise

    F = 1/2 || sum_m d_m * x_m - s ||^2 + lmbda || x ||_1

over the maps (coding), or over maps and filters in the unit ball, from the same first filters
(learning). F is worked out in double precision with the clock stopped.

coding: seconds to F <= 1.001 F_opt. F_opt is the file's, or what `deconvnet infer --gap 1e-5` ends
with. Rivals: SPORCO's AddMaskSim and mask-decoupled ADMM, its PGM with the exact step and with
backtracking, and FISTA in PyTorch. SPORCO's planning of Fourier transforms is not counted.

learning: SPORCO's ConvBPDNMaskDictLearn takes --iterations steps; then seconds of either to the
objective that it ended with, plus a share of 1e-5 (SPORCO's own constraint is the unit sphere,
which is no harder). Seeds other than 0 draw the first filters anew. Other rivals are torch-learning
and torch-learning-fft; the first of several sets the target.

On a GPU, 64 images of 256 x 256 and 64 maps, against PyTorch (eager, no TF32) on the same card; our
kernels' compilation counts, PyTorch's first calls do not; memory is the host's:

    python scripts/rivals.py coding problems/gpu-64x256-64x8-r.npz --backend wgpu --device cuda \\
        --rivals torch-fista,torch-fista-fft
    python scripts/rivals.py learning problems/gpu-64x256-64x8-r.npz --backend wgpu --device cuda \\
        --rivals torch-learning-fft

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

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODING = "sporco-ams,sporco-admm,sporco-pgm,sporco-pgm-robust,torch-fista"


def read(path):
    z = np.load(path)
    if str(z["boundary"]) != "valid":
        sys.exit(f"{path}: boundary must be \"valid\"")
    return z["s"].astype(np.float32), z["D0"].astype(np.float32), float(z["lmbda"])


def objective(s, d, x, lmbda):
    """In double precision, by Fourier transforms of the size of the maps, which hold the valid part."""
    size, (h, w) = x.shape[-2:], d.shape[-2:]
    spectra = [np.fft.rfft2(a.astype(np.float64), size) for a in (d, x)]
    sums = np.fft.irfft2(np.einsum("mcuv,kmuv->kcuv", *spectra), size)
    error = sums[..., h - 1 :, w - 1 :] - s
    return 0.5 * np.sum(error**2) + lmbda * np.abs(x).sum(dtype=np.float64)


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


def sporco_setup(threads):
    import pyfftw
    import sporco.fft

    sporco.fft.pyfftw_threads = threads
    sporco.fft.pyfftw_planner_effort = "FFTW_MEASURE"
    pyfftw.interfaces.cache.enable()
    pyfftw.interfaces.cache.set_keepalive_time(3600)


def canvas(s, d):
    """Images with a margin of zeros, and a weight that ignores it: SPORCO's way to 'valid'."""
    h, w = d.shape[-2:]
    padded = np.pad(s, ((0, 0), (0, 0), (h - 1, 0), (w - 1, 0)))
    weight = np.zeros_like(padded)
    weight[..., h - 1 :, w - 1 :] = 1
    # SPORCO wants the axes [H, W, C, K]; without channels it takes a faster path.
    ordered = [a.transpose(2, 3, 1, 0) for a in (padded, weight, d)]
    return [a[:, :, 0] if s.shape[1] == 1 else a for a in ordered]


def sporco_coding(s, d, lmbda, method, watch, iterations):
    from sporco.admm import cbpdn
    from sporco.pgm import cbpdn as pgm
    from sporco.pgm.backtrack import BacktrackRobust

    image, weight, atoms = canvas(s, d)
    maps = lambda x: np.asarray(x).reshape(image.shape[:2] + (-1, s.shape[0], x.shape[-1]))
    plain = lambda x: maps(x)[:, :, 0].transpose(2, 3, 0, 1)
    options = {
        "FastSolve": True,
        "MaxMainIter": iterations,
        "RelStopTol": 0.0,
        "DataType": np.dtype(np.float32),
    }
    m = d.shape[0]
    if method == "ams":
        options["Callback"] = lambda b: watch(d, plain(b.Y[..., :m]))
        options["RelaxParam"] = 1.8
        return cbpdn.AddMaskSim(
            cbpdn.ConvBPDN, atoms, image, weight, lmbda, opt=cbpdn.ConvBPDN.Options(options), dimK=1
        )
    thin = weight[..., :1] if s.shape[1] == 1 else weight[:, :, :1, :1]
    thin = thin.astype(np.float32)
    if method == "admm":
        solver = cbpdn.ConvBPDNMaskDcpl
        options["Callback"] = lambda b: watch(d, plain(b.block_sep1(b.Y)))
        options["RelaxParam"] = 1.8
        return solver(atoms, image, lmbda, thin, solver.Options(options), dimK=1)
    spectra = np.fft.rfft2(d.astype(np.float64), image.shape[:2])
    gram = np.einsum("mcuv,mduv->uvcd", spectra, spectra.conj())
    step = float(np.linalg.eigvalsh(gram).max())
    options["Callback"] = lambda b: watch(d, plain(b.X))
    options["L"] = step
    if method == "pgm-robust":
        options["L"], options["Backtrack"] = 0.1 * step, BacktrackRobust()
    return pgm.ConvBPDNMask(
        atoms, image, lmbda, thin, pgm.ConvBPDNMask.Options(options), dimK=1
    )


def torch_products(engine, image, taps):
    """Synthesis, its adjoint and its filter gradient with PyTorch."""
    import torch
    from scipy.fft import next_fast_len
    from torch.nn.functional import conv2d, conv_transpose2d, pad

    (height, width), (h, w) = image, taps
    if engine == "conv":
        from torch.nn.grad import conv2d_weight

        kernel = lambda d: d.flip(-1, -2).transpose(0, 1)
        shape = lambda x, r: (r.shape[1], x.shape[1], h, w)
        return (
            lambda d, x: conv2d(x, kernel(d)),
            lambda d, r: conv_transpose2d(r, kernel(d)),
            lambda x, r: kernel(conv2d_weight(x, shape(x, r), r)),
        )
    maps = [height + h - 1, width + w - 1]
    size = [next_fast_len(n, real=True) for n in maps]
    fft = lambda a: torch.fft.rfft2(a, s=size)
    inverse = lambda a: torch.fft.irfft2(a, s=size)
    margin = lambda r: pad(r, (w - 1, 0, h - 1, 0))

    def synthesize(d, x):
        d, x = fft(d), fft(x)
        planes = torch.stack([(d[:, c] * x).sum(1) for c in range(d.shape[1])], 1)
        return inverse(planes)[..., h - 1 : h - 1 + height, w - 1 : w - 1 + width]

    def analyze(d, r):
        d, r = fft(d).conj(), fft(margin(r))
        sums = sum(d[:, c] * r[:, c, None] for c in range(d.shape[1]))
        return inverse(sums)[..., : maps[0], : maps[1]]

    def filter_gradient(x, r):
        x, r = fft(x).conj(), fft(margin(r))
        sums = torch.stack([(x * r[:, c, None]).sum(0) for c in range(r.shape[1])], 1)
        return inverse(sums)[..., :h, :w]

    return synthesize, analyze, filter_gradient


def torch_fista(x, gradient, shrink, step, dims):
    """Accelerated proximal gradient, with restart of each problem; yields x after each step."""
    import torch

    v, t = x, torch.ones([1 if i in dims else n for i, n in enumerate(x.shape)], device=x.device)
    while True:
        new = shrink(v - step * gradient(v), step)
        moved, after = new - x, 0.5 * (1 + (1 + 4 * t * t).sqrt())
        uphill = ((v - new) * moved).sum(dims, keepdim=True) > 0
        v = torch.where(uphill, new, torch.addcmul(new, (t - 1) / after, moved))
        x, t = new, after.masked_fill(uphill, 1.0)
        yield x


def torch_solver(s, d, lmbda, rival, device, watch, iterations):
    """Coding, or with `learning` in the name of the rival learning: ten steps on the maps and five
    on the filters in turn. All of it stays on the device."""
    import torch
    from torch.nn.functional import softshrink

    y, d = (torch.tensor(a, device=device) for a in (s, d))
    engine = "fft" if rival.endswith("-fft") else "conv"
    synthesize, analyze, filter_gradient = torch_products(engine, s.shape[-2:], d.shape[-2:])
    maps = [n + t - 1 for n, t in zip(s.shape[-2:], d.shape[-2:])]
    x = torch.zeros([len(y), len(d), *maps], device=device)
    soft = lambda u, step: softshrink(u, step * lmbda)
    ball = lambda u, _: u / u.square().sum((1, 2, 3), keepdim=True).sqrt().clamp_min(1)

    def done(d, x):
        if device != "cpu":
            torch.cuda.synchronize()
        return watch(d, x)

    def step_of(d):
        spectra = torch.fft.rfft2(d, s=maps)
        if d.shape[1] == 1:
            return 1.0 / float(spectra.abs().square().sum(0).max())
        gram = torch.einsum("mcuv,mduv->uvcd", spectra, spectra.conj())
        return 1.0 / float(torch.linalg.eigvalsh(gram).max())

    def coded(d, x, steps):
        gradient = lambda v: analyze(d, synthesize(d, v) - y)
        return itertools.islice(torch_fista(x, gradient, soft, step_of(d), (1, 2, 3)), steps)

    if "learning" not in rival:
        for x in coded(d, x, iterations):
            if done(d, x):
                return
        return
    v = torch.randn_like(d)
    for visit in range(iterations):
        for x in coded(d, x, 10):
            pass
        for _ in range(10 if visit == 0 else 3):
            v = filter_gradient(x, synthesize(v / v.norm().clamp_min(1e-12), x))
        step = 1.0 / max(1.1 * float(v.norm()), 1e-6)
        gradient = lambda d: filter_gradient(x, synthesize(d, x) - y)
        for d in itertools.islice(torch_fista(d, gradient, ball, step, (0, 1, 2, 3)), 5):
            pass
        if done(d, x):
            return


def torch_objective(s, lmbda, device):
    """F in double precision on the device, image by image."""
    import torch
    from torch.nn.functional import conv2d

    y = torch.tensor(s, device=device).double()

    def look(d, x):
        kernel = d.double().flip(-1, -2).transpose(0, 1)
        errors = (conv2d(x[k : k + 1].double(), kernel) - y[k] for k in range(len(y)))
        data = sum(float(error.square().sum()) for error in errors)
        return 0.5 * data + lmbda * float(x.abs().sum(dtype=torch.float64))

    return look


def worker(args):
    """One run of one rival in a process of its own; prints its curve."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    s, d, lmbda = read(args.problem[0])
    look = lambda d, x: objective(s, np.asarray(d), np.asarray(x), lmbda)
    if args.rival == "sporco-online":
        sporco_setup(args.threads)
        sporco_online(s[:1], d, lmbda, lambda *_: False, 2, 1)
        watch = Watch(lambda d: least(args.test, d, args.threads), args.target, args.seconds)
        sporco_online(s, d, lmbda, watch, args.epochs, args.every)
        return json.dump(watch.curve, sys.stdout)
    if args.rival.startswith("torch"):
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(args.threads)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False
        if args.device != "cpu":
            look = torch_objective(s, lmbda, args.device)
        solve = lambda *watch: torch_solver(s, d, lmbda, args.rival, args.device, *watch)
        with torch.no_grad():
            solve(lambda *_: False, 2)
            watch = Watch(look, args.target, args.seconds)
            solve(watch, args.iterations)
    else:
        sporco_setup(args.threads)
        make = sporco_learning if args.rival == "sporco-learning" else sporco_coding
        method = args.rival.removeprefix("sporco-")
        make(s, d, lmbda, method, lambda *_: False, 2).solve()
        watch = Watch(look, args.target, args.seconds)
        make(s, d, lmbda, method, watch, args.iterations).solve()
    json.dump(watch.curve, sys.stdout)


def sporco_learning(s, d, lmbda, _, watch, iterations):
    from sporco.dictlrn import cbpdndlmd

    image, weight, atoms = canvas(s, d)
    thin = weight[..., None, :1] if s.shape[1] == 1 else weight[:, :, :1, :1]
    thin = thin.reshape(weight.shape[:2] + (1, 1)).astype(np.float32)
    (k, c, *_), (m, _, h, w) = s.shape, d.shape

    def call(b):
        found = np.asarray(b.getdict()).reshape(h, w, c, m).transpose(3, 2, 0, 1)
        x = b.xstep.block_sep1(b.xstep.Y)
        x = np.asarray(x).reshape(image.shape[:2] + (-1, k, m))[:, :, 0].transpose(2, 3, 0, 1)
        return watch(found, x)

    inner = {"FastSolve": True, "DataType": np.dtype(np.float32)}
    options = cbpdndlmd.ConvBPDNMaskDictLearn.Options(
        {
            "MaxMainIter": iterations,
            "AccurateDFid": False,
            "Callback": call,
            "CBPDN": {"rho": 20 * lmbda + 0.5, **inner},
            "CCMOD": {"rho": 0.2, **inner},
        },
        xmethod="admm",
        dmethod="cns",
    )
    return cbpdndlmd.ConvBPDNMaskDictLearn(
        atoms, image, lmbda, thin, options, xmethod="admm", dmethod="cns", dimK=1
    )


def sporco_online(s, d, lmbda, watch, epochs, every):
    """One image after the other, with the steps and limits of SPORCO's own example."""
    from sporco.dictlrn import onlinecdl

    image, weight, atoms = canvas(s, d)
    (k, c, *_), (m, _, h, w) = s.shape, d.shape
    options = onlinecdl.OnlineConvBPDNMaskDictLearn.Options(
        {
            "DataType": np.dtype(np.float32),
            "eta_a": 10.0,
            "eta_b": 20.0,
            "CBPDN": {"rho": 50 * lmbda + 0.5, "MaxMainIter": 50, "FastSolve": True},
        }
    )
    solver = onlinecdl.OnlineConvBPDNMaskDictLearn(atoms, lmbda, options)
    thin = weight[..., :1] if c == 1 else weight[:, :, :1, :1]
    thin = thin[..., 0].astype(np.float32)
    for visit in range(epochs * k):
        solver.solve(image[..., visit % k].astype(np.float32), thin)
        if (visit + 1) % every == 0:
            found = np.asarray(solver.getdict()).reshape(h, w, c, m).transpose(3, 2, 0, 1)
            if watch(found):
                break


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


def ours_learning(path, threads, target, epochs, folder, *more):
    out = pathlib.Path(folder) / "curve.csv"
    command = [program("examples/learn_problem"), path, "--epochs", str(epochs), "--out", out]
    command += more
    if target is not None:
        command += ["--target", str(target)]
    _, memory = measured(command, threads)
    rows = list(csv.DictReader(open(out)))
    curve = [(float(r["seconds"]), float(r["objective"])) for r in rows]
    return curve, memory, float(rows[-1]["non_zero_percent"]) / 100


def theirs(rival, path, args, target):
    command = [sys.executable, __file__, "worker", path, "--rival", rival]
    command += ["--target", str(target), "--threads", str(args.threads)]
    command += ["--seconds", str(args.seconds), "--iterations", str(args.iterations)]
    command += ["--device", args.device]
    if args.test:
        command += ["--test", args.test, "--epochs", str(args.epochs), "--every", str(args.every)]
    output, memory = measured(command, args.threads)
    return json.loads(output.decode().strip().splitlines()[-1]), memory


def reached(curve, target):
    """Seconds to the target, or infinity."""
    return next((t for t, f in curve if f <= target), float("inf"))


def compare(name, target, runs, repeats):
    """Runs every contender in turn, `repeats` times; a row each, and the last curves. A run gives
    a curve, the memory and, where it is known, the density of the maps."""
    seconds, memory, curves, density = {}, {}, {}, {}
    for _ in range(repeats):
        for who, run in runs.items():
            curves[who], peak, *density[who] = run()
            seconds.setdefault(who, []).append(reached(curves[who], target))
            memory.setdefault(who, []).append(peak)
    ours = statistics.median(seconds["deconvnet"])
    rows = []
    for who in runs:
        median = statistics.median(seconds[who])
        rows.append(
            {
                "problem": name,
                "who": who,
                "target": f"{target:.6f}",
                "seconds": f"{median:.4f}",
                "times ours": f"{median / ours:.1f}",
                "least F": f"{min(f for _, f in curves[who]):.6f}",
                "MiB": f"{statistics.median(memory[who]):.0f}",
                "not zero": "".join(f"{share:.2%}" for share in density[who]),
            }
        )
        print("  ".join(f"{v:>12}" for v in rows[-1].values()), flush=True)
    return rows, curves


def plot(path, title, curves, best=None):
    """How far F is above the best, or without that F itself, against seconds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), dpi=120)
    for who, curve in curves.items():
        t, f = np.array(curve).T
        y = f if best is None else np.maximum(f / best - 1, 1e-7)
        width = 2.5 if who == "deconvnet" else 1.2
        axes.loglog(np.maximum(t, 1e-3), y, label=who, linewidth=width)
    if best is not None:
        axes.axhline(1e-3, color="grey", linewidth=0.7, linestyle=":")
    label = "objective" if best is None else "objective / least - 1"
    axes.set(xlabel="seconds", ylabel=label, title=title)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def write(rows, out):
    with open(out / "table.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    (out / "table.md").write_text("\n".join(lines) + "\n")


def coding(args):
    rows = []
    for path in args.problem:
        name = pathlib.Path(path).stem
        z = np.load(path)
        if "F_opt" in z:
            best = float(z["F_opt"])
        else:
            best = ours_coding(path, args.threads, "--gap", "1e-5", "--steps", "3000")[0][-1][1]
        target = 1.001 * best
        more = ["--target", str(target)]
        if args.backend != "flex":
            more += ["--backend", args.backend, "--solver", "fista", "--steps", "5000"]
        runs = {"deconvnet": lambda: ours_coding(path, args.threads, *more)}
        for rival in (args.rivals or CODING).split(","):
            runs[rival] = lambda rival=rival: theirs(rival, path, args, target)
        found, curves = compare(name, target, runs, args.repeats)
        rows += found
        plot(args.out / f"{name}.png", f"coding {name}", curves, best)
        write(rows, args.out)


def learning(args):
    rivals = (args.rivals or "sporco-learning").split(",")
    if not all("learning" in rival for rival in rivals):
        sys.exit(f"{args.rivals}: these do not all learn")
    rows = []
    for path in args.problem:
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as folder:
                name = f"{pathlib.Path(path).stem}-{seed}"
                problem = pathlib.Path(folder) / "problem.npz"
                z = dict(np.load(path))
                if seed:
                    z["D0"] = random_filters(seed, *z["D0"].shape)
                np.savez(problem, **z)
                full, _ = theirs(rivals[0], problem, args, -1)
                # A hair above: with threads its sums differ from run to run.
                target = full[-1][1] * (1 + 1e-5)
                more = ["--backend", args.backend]
                if args.backend != "flex":
                    more += ["--rounds", "10"]
                runs = {
                    "deconvnet": lambda: ours_learning(
                        problem, args.threads, None, args.epochs, folder, *more
                    )
                }
                for rival in rivals:
                    runs[rival] = lambda rival=rival: theirs(rival, problem, args, target)
                found, curves = compare(name, target, runs, args.repeats)
                rows += found
                plot(args.out / f"{name}.png", f"learning {name}", curves)
                write(rows, args.out)


def online(args):
    if args.test is None:
        sys.exit("online: say what judges the filters, --test TEST.npz")
    rows = []
    for path in args.problem:
        name = pathlib.Path(path).stem
        curve, _ = theirs("sporco-online", path, args, -1)
        if not curve:
            sys.exit(f"{path}: no judgement within {args.epochs} epochs; take a smaller --every")
        target = curve[-1][1]
        more = ["--online", "--rounds", "8", "--test", args.test, "--every", str(args.every)]
        with tempfile.TemporaryDirectory() as folder:
            runs = {
                "deconvnet": lambda: ours_learning(
                    path, args.threads, None, args.epochs, folder, *more
                ),
                "sporco": lambda: theirs("sporco-online", path, args, target),
            }
            found, curves = compare(name, target, runs, args.repeats)
        rows += found
        plot(args.out / f"{name}.png", f"online {name}", curves)
        write(rows, args.out)


def planes(path, side, colour, corner):
    """A square of an image, its low frequencies removed, [C, side, side]."""
    from PIL import Image
    from sporco.signal import tikhonov_filter

    image = Image.open(path).convert("RGB" if colour else "L")
    box = (corner, corner, corner + side, corner + side)
    if max(box) > min(image.size):
        sys.exit(f"{path} has no square of {side} pixels at ({corner}, {corner})")
    pixels = np.asarray(image.crop(box), np.float64).reshape(side, side, -1) / 255
    return tikhonov_filter(pixels, 5, 16)[1].transpose(2, 0, 1)


def unit(d):
    """Filters of norm one, over channels and support."""
    return (d / np.sqrt((d**2).sum(axis=(1, 2, 3), keepdims=True))).astype(np.float32)


def random_filters(seed, *shape):
    return unit(np.random.default_rng(seed).standard_normal(shape))


def save(path, images, d, lmbda):
    np.savez(path, s=np.stack(images).astype(np.float32), D0=d, lmbda=lmbda, boundary="valid")


def learnt_filters(name):
    """One of the dictionaries that come with SPORCO, such as G:8x8x32."""
    from sporco.util import convdicts

    d = convdicts()[name].astype(np.float32)
    d = d.reshape(*d.shape[:2], -1, d.shape[-1]).transpose(3, 2, 0, 1)
    return np.ascontiguousarray(unit(d))


def make(args):
    """A problem from squares of images."""
    images = [planes(p, args.size, args.colour, c) for c in args.corners for p in args.problem]
    if args.dictionary:
        d = learnt_filters(args.dictionary)
    else:
        d = random_filters(args.seed, args.filters, images[0].shape[0], args.taps, args.taps)
    save(args.out, images, d, args.lmbda)


def draw(args):
    """Problems drawn at random: sizes, filters, and a weight of 1 to 20 % of that at which all maps
    are zero."""
    rng = np.random.default_rng(args.seed)
    pick = lambda *choices: choices[rng.integers(len(choices))]
    for number in range(args.count):
        side, taps = pick(48, 64, 96, 128, 160, 200), pick(3, 5, 6, 7, 8, 9, 11, 12, 16, 24)
        filters, count = pick(6, 8, 12, 16, 24, 32, 48, 64, 96), pick(1, 1, 2, 4)
        colour, learnt = rng.random() < 0.35, rng.random() < 0.4
        corner, share = int(rng.integers(250)), 0.01 * 20 ** rng.random()
        if learnt:
            name = "RGB:8x8x3x64" if colour else pick("G:8x8x32", "G:8x8x96", "G:12x12x36")
            d, name = learnt_filters(name), name.split(":")[1] + "-n"
        else:
            d = random_filters([args.seed, number], filters, 3 if colour else 1, taps, taps)
            name = f"{filters}x{taps}-r"
        paths = rng.choice(args.problem, count, replace=count > len(args.problem))
        images = [planes(p, side, colour, corner) for p in paths]
        sizes = np.add(images[0].shape[-2:], d.shape[-2:]) - 1
        spectra = np.fft.rfft2(d, sizes).conj()
        pulls = [np.einsum("mcuv,cuv->muv", spectra, np.fft.rfft2(s, sizes)) for s in images]
        most = max(np.abs(np.fft.irfft2(pull, sizes)).max() for pull in pulls)
        name = f"{number:02}-{'colour' if colour else 'grey'}-{count}x{side}-{name}.npz"
        save(args.out / name, images, d, share * most)


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
    parser.add_argument("--rivals", help="with commas; the first of learning sets the target")
    parser.add_argument("--backend", default="flex", help="ours; on a GPU it solves by FISTA")
    parser.add_argument("--device", default="cpu", help="PyTorch's: cpu or cuda")
    parser.add_argument("--test", help="problem file whose images judge an online learner")
    parser.add_argument("--every", type=int, default=10, help="visits between two judgements")
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
