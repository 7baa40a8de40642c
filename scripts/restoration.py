#!/usr/bin/env python3
"""Denoising and inpainting beside other tools, in one run.

    python scripts/restoration.py --data FOLDER [--quick] [--out results/restoration] [--jobs 2]
        [--only denoise|inpaint|estimate] [--sets Set12,BSD68] [--sigmas 15,25,50] [--every 1] [--slow-every 8]

FOLDER holds Set12/ and BSD68/ with grey PNG files. The first run makes an environment in .restoration-env with bm3d,
scikit-image and sporco; RESTORATION_HERE=1 takes the Python that runs it instead. Noise is drawn by numpy with the number
of the image as seed, is neither clipped nor rounded, and goes to every tool as it is. Every tool has one thread; --jobs
images are worked on side by side, each by one tool after the other. PSNR is that of the results clipped to 0..255.

The whole takes about an hour on two cores, SPORCO's denoising getting every eighth image (--slow-every), and means
over those images are given for deconvnet too. --quick takes 12: all of Set12 and every twelfth image of BSD68 at sigma 25,
every tool on the same images, and the same inpainting. --only estimate tells, in a minute, which sigma deconvnet finds by
itself in 8-bit pictures with noise, and the PSNR before and after. Goes on where it stopped; writes table.md, the tables of
docs/restoration.md, pictures, and results.json as it goes on.
"""
import argparse
import functools
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENV = ROOT / ".restoration-env"
PACKAGES = ["bm3d", "scikit-image", "sporco", "pillow"]
ONE_THREAD = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS",
              "NUMEXPR_NUM_THREADS"]

if pathlib.Path(sys.prefix) != ENV and not os.environ.get("RESTORATION_HERE"):
    python = ENV / "bin" / "python"
    if not python.exists():
        venv.create(ENV, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    environment = {**os.environ, "RESTORATION_HERE": "1"}
    raise SystemExit(subprocess.run([python, *sys.argv], env=environment).returncode)
os.environ.update({name: "1" for name in ONE_THREAD})

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COMMAND = pathlib.Path(os.environ.get("DECONVNET", ROOT / "target" / "release" / "deconvnet"))


def read(path):
    return np.asarray(Image.open(path).convert("L"), float)


def psnr(x, y):
    return 10 * np.log10(255**2 / np.mean((x - np.clip(y, 0, 255)) ** 2))


def timed(tool, *arguments):
    start = time.perf_counter()
    result = tool(*arguments)
    return result, time.perf_counter() - start


def command(kind, given, out, *more):
    """Runs the command; the seconds without reading and writing."""
    line = [COMMAND, kind, given, "--out", out, "--overwrite", "--json", *map(str, more)]
    report = json.loads(subprocess.run(line, check=True, capture_output=True).stdout)
    return report["rows"][0]["seconds"]


SLOW = ["SPORCO ConvBPDN"]


# --- denoising ------------------------------------------------------------------------------------------

def scratch():
    """A folder for the files of this process."""
    folder = pathlib.Path(os.environ["RESTORATION_OUT"]) / "work" / str(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def ours(y, sigma, *more):
    work = scratch()
    np.savez(work / "y.npz", y=(y / 255).astype(np.float32))
    seconds = command("denoise", work / "y.npz", work / "x.npz", "--sigma", sigma, *more)
    return 255 * np.load(work / "x.npz")["x"].squeeze(), seconds


@functools.cache
def denoisers():
    import bm3d
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
    from sporco import util
    from sporco.admm import cbpdn
    from sporco.signal import tikhonov_filter
    filters = util.convdicts()["G:8x8x64"]

    def sporco(y, sigma):
        """The recipe of its examples: an impulse filter and gradient terms for low frequencies."""
        low, high = tikhonov_filter(np.pad(y / 255, 16, "symmetric"), 5.0)
        options = cbpdn.ConvBPDN.Options({"Verbose": False, "MaxMainIter": 60, "RelStopTol": 5e-3,
                                          "AutoRho": {"Enabled": True}})
        solver = cbpdn.ConvBPDN(filters, high, 2.0 * sigma / 255, options, dimK=0)
        x = solver.solve()
        return ((low + solver.reconstruct(x).squeeze())[16:-16, 16:-16]) * 255

    return {
        "deconvnet": lambda y, s: ours(y, s),
        "deconvnet --adapt": lambda y, s: ours(y, s, "--adapt"),
        "BM3D": lambda y, s: timed(bm3d.bm3d, y, s),
        "non-local means": lambda y, s: timed(lambda: 255 * denoise_nl_means(
            y / 255, patch_size=5, patch_distance=10, h=0.6 * s / 255, sigma=s / 255, fast_mode=False)),
        "total variation": lambda y, s: timed(lambda: 255 * denoise_tv_chambolle(
            y / 255, weight={15: 0.06, 25: 0.1}.get(s, 0.22), max_num_iter=200)),
        "SPORCO ConvBPDN": lambda y, s: timed(sporco, y, s),
    }


def denoise(job):
    """All tools on one image."""
    _, name, sigma, path, number, tools, parts = job
    x = read(path)
    y = x + sigma * np.random.default_rng(number).standard_normal(x.shape)
    found = {}
    for tool in tools:
        estimate, seconds = denoisers()[tool](y, sigma)
        found[f"denoise|{name}|{sigma}|{path.name}|{tool}"] = [psnr(x, estimate), seconds]
        if parts:
            save(parts / f"{tool.replace(' ', '_')}.png", estimate)
    if parts:
        save(parts / "noisy.png", y)
        save(parts / "clean.png", x)
    return found


def denoising(args, results):
    for name in args.sets:
        files = sorted((args.data / name).glob("*.png"))
        for sigma in args.sigmas:
            for k, path in list(enumerate(files))[:: args.every.get(name, 1)]:
                tools = [tool for tool in denoisers()
                         if f"denoise|{name}|{sigma}|{path.name}|{tool}" not in results and tool not in args.skip
                         and not (tool in SLOW and k % args.slow_every)]
                shown = k == args.shown and name == "Set12" and sigma == 25
                if tools:
                    yield "denoise", name, sigma, path, k, tools, args.out / "parts" if shown else None


# --- inpainting -----------------------------------------------------------------------------------------

def masks(shape):
    """What is known: 1; what is missing: 0."""
    random = np.random.default_rng(11).random(shape)
    height, width = shape
    scratches = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(scratches)
    rng = np.random.default_rng(12)
    for _ in range(14):
        points = [tuple(rng.random(2) * (width, height)) for _ in range(3)]
        draw.line(points, fill=0, width=int(rng.integers(2, 6)), joint="curve")
    text = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(text)
    font = ImageFont.load_default(size=16)
    line = "convolutional sparse codes fill in what is missing "
    for k, top in enumerate(range(4, height, 24)):
        draw.text((4 - 37 * k % 90, top), line * 3, fill=0, font=font)
    return {"random 50 %": random >= 0.5, "random 80 %": random >= 0.8,
            "scratches": np.asarray(scratches) > 127, "text": np.asarray(text) > 127}


@functools.cache
def inpainters():
    from skimage.restoration import inpaint_biharmonic
    from sporco import util
    from sporco.admm import cbpdn, tvl2
    filters = util.convdicts()["G:8x8x64"]

    def deconvnet(x, known):
        work = scratch()
        Image.fromarray(np.where(known, 255, 0).astype(np.uint8)).save(work / "mask.png")
        Image.fromarray(np.where(known, x, 0).astype(np.uint8)).save(work / "given.png")
        seconds = command("inpaint", work / "given.png", work / "out.png", "--mask", work / "mask.png")
        return read(work / "out.png"), seconds

    def add_mask_sim(x, known):
        """The recipe of its examples: a low-pass by masked total variation, then masked codes of the rest."""
        mask, y = known.astype(float), np.where(known, x, 0) / 255
        options = tvl2.TVL2Denoise.Options({"Verbose": False, "MaxMainIter": 200, "DFidWeight": mask,
                                            "gEvalY": False, "AutoRho": {"Enabled": True}})
        low = tvl2.TVL2Denoise(y, 0.05, options).solve()
        high = mask * (y - low)
        options = cbpdn.ConvBPDN.Options({"Verbose": False, "MaxMainIter": 60, "RelStopTol": 1e-3,
                                          "AutoRho": {"Enabled": False}, "rho": 1.0})
        solver = cbpdn.AddMaskSim(cbpdn.ConvBPDN, filters, high, mask, 2e-2, opt=options)
        solver.solve()
        return 255 * (low + solver.reconstruct().squeeze())

    return {
        "deconvnet": deconvnet,
        "biharmonic": lambda x, known: timed(lambda: 255 * inpaint_biharmonic(np.where(known, x, 0) / 255, ~known)),
        "SPORCO AddMaskSim": lambda x, known: timed(add_mask_sim, x, known),
    }


def inpaint(job):
    """All tools on one image and mask."""
    _, title, mask, path, tools, parts = job
    x = read(path)
    known = masks(x.shape)[mask]
    found = {}
    for tool in tools:
        estimate, seconds = inpainters()[tool](x, known)
        estimate = np.where(known, x, estimate)
        found[f"inpaint|{title}|{mask}|{tool}"] = [psnr(x, estimate), seconds]
        if parts:
            save(parts / f"{mask}-{tool}.png", estimate)
    if parts:
        save(parts / f"{mask}-given.png", np.where(known, x, 0))
    return found


def inpainting(args, results):
    for number, title in [("02", "house"), ("04", "starfish")]:
        for mask in masks((256, 256)):
            tools = [tool for tool in inpainters()
                     if f"inpaint|{title}|{mask}|{tool}" not in results and tool not in args.skip]
            if tools:
                parts = args.out / "parts" if title == "house" else None
                yield "inpaint", title, mask, args.data / "Set12" / f"{number}.png", tools, parts


# --- sigma that is not given ----------------------------------------------------------------------------

def estimation(args):
    """The middle of every fourth image of BSD68 and of all of Set12, 160 x 160, rounded and clipped as files hold it."""
    files = sorted((args.data / "BSD68").glob("*.png"))[::4] + sorted((args.data / "Set12").glob("*.png"))
    lines = ["| sigma | found: mean, least, largest | PSNR before | after |", "|---|---|---|---|"]
    for sigma in [0, 2, 5, 15, 25, 50]:
        folder = args.out / "estimate" / str(sigma)
        for number, path in enumerate(files):
            x = read(path)
            top, left = ((side - 160) // 2 for side in x.shape)
            x = x[top : top + 160, left : left + 160]
            noise = np.random.default_rng(number).standard_normal(x.shape)
            save(folder / f"{number:02}.png", x + sigma * noise)
        line = [COMMAND, "denoise", folder, "--reference", args.out / "estimate" / "0", "--out", f"{folder}-out"]
        report = subprocess.run([*line, "--overwrite", "--json"], check=True, capture_output=True).stdout
        rows = json.loads(report)["rows"]
        found = [row["sigma"] for row in rows]
        before, after = (np.mean([row[when]["psnr"] for row in rows]) for when in ("before", "after"))
        exact = "exact" if sigma == 0 else f"{before:.2f}"
        lines.append(f"| {sigma} | {np.mean(found):.2f}, {min(found):.2f}, {max(found):.2f} | {exact} | {after:.2f} |")
    print("\n".join(lines))


def work(job):
    return denoise(job) if job[0] == "denoise" else inpaint(job)


# --- tables and pictures --------------------------------------------------------------------------------

def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.round(image), 0, 255).astype(np.uint8)).save(path)


def keep(args, results, found):
    results.update(found)
    (args.out / "results.json").write_text(json.dumps(results, indent=1))
    for key, (decibel, seconds) in found.items():
        print(f"{key}: {decibel:.2f} dB, {seconds:.2f} s", flush=True)


def table(args, results):
    """The tables of docs/restoration.md: their order is that of the tools, whatever was done first."""
    lines = []
    keys = [key.split("|") for key in results]
    sets = dict.fromkeys((name, sigma) for kind, name, sigma, *_ in keys if kind == "denoise")
    if sets:
        lines += ["| images | sigma | tool | PSNR | deconvnet on these | s an image | times as long |",
                  "|---|---|---|---|---|---|---|"]
    for name, sigma in sorted(sets, key=lambda of: (of[0], int(of[1]))):
        found = {(key[3], key[4]): results["|".join(key)] for key in keys if key[:3] == ["denoise", name, sigma]}
        every = {image for image, tool in found if tool == "deconvnet"}
        for tool in denoisers():
            images = [image for image, other in found if other == tool and image in every]
            if not images:
                continue
            mean = lambda of, part: np.mean([found[image, of][part] for image in images])
            own = [mean("deconvnet", part) for part in (0, 1)]
            times = "" if tool == "deconvnet" else f"{mean(tool, 1) / own[1]:.2g}"
            lines.append(f"| {name}, {len(images)} | {sigma} | {tool} | {mean(tool, 0):.2f} | {own[0]:.2f} "
                         f"| {mean(tool, 1):.2f} | {times} |")
    rows = {(key[1], key[2]) for key in keys if key[0] == "inpaint"}
    if rows:
        tools = list(inpainters())
        lines += ["", "PSNR, and seconds:", "", f"| image | missing | {' | '.join(tools)} |",
                  "|---|---|" + "---|" * len(tools)]
    for title, mask in sorted(rows):
        cells = [results.get(f"inpaint|{title}|{mask}|{tool}") for tool in inpainters()]
        cells = [f"{cell[0]:.2f}, {cell[1]:.1f} s" if cell else "" for cell in cells]
        lines.append(f"| {title} | {mask} | {' | '.join(cells)} |")
    (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def sheet(args, out, rows):
    """Parts side by side with captions."""
    side, bar = 256, 22
    rows = [[(title, args.out / "parts" / name) for title, name in row] for row in rows]
    rows = [[(title, path) for title, path in row if path.exists()] for row in rows]
    rows = [row for row in rows if row]
    if not rows:
        return
    sheet = Image.new("L", (max(map(len, rows)) * (side + 6) - 6, len(rows) * (side + bar)), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for i, row in enumerate(rows):
        for j, (title, path) in enumerate(row):
            sheet.paste(Image.open(path).crop((0, 0, side, side)), (j * (side + 6), i * (side + bar) + bar))
            draw.text((j * (side + 6) + 2, i * (side + bar) + 2), title, fill=0, font=font)
    sheet.save(args.out / out, quality=88)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("results/restoration"))
    parser.add_argument("--quick", action="store_true", help="a part, in a quarter of an hour on two cores")
    parser.add_argument("--jobs", type=int, default=2, help="images worked on side by side")
    parser.add_argument("--only", choices=["denoise", "inpaint", "estimate"])
    parser.add_argument("--sets", default="Set12,BSD68", type=lambda text: text.split(","))
    parser.add_argument("--sigmas", default="15,25,50", type=lambda text: [int(sigma) for sigma in text.split(",")])
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    parser.add_argument("--slow-every", type=int, default=8, help="SPORCO's denoising gets every n-th image")
    parser.add_argument("--skip", default="", type=lambda text: set(filter(None, text.split(","))))
    parser.add_argument("--shown", type=int, default=0, help="the image of Set12 that is shown, from 0")
    args = parser.parse_args()
    args.every = {name: args.every for name in args.sets}
    if args.quick:
        args.every["BSD68"], args.sigmas, args.slow_every = 12, [25], 1
    os.environ["RESTORATION_OUT"] = str(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    done = args.out / "results.json"
    results = json.loads(done.read_text()) if done.exists() else {}
    if args.only == "estimate":
        return estimation(args)
    jobs = []
    if args.only != "inpaint":
        jobs += denoising(args, results)
    if args.only != "denoise":
        jobs += inpainting(args, results)
    # The largest first, so that all end together.
    jobs.sort(key=lambda job: -read(next(part for part in job if isinstance(part, pathlib.Path))).size)
    start = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for found in pool.imap_unordered(work, jobs):
            keep(args, results, found)
    print(f"{time.perf_counter() - start:.0f} s for {len(jobs)} images, {args.jobs} side by side")
    table(args, results)
    sheet(args, "denoise.jpg", [[(name, f"{name}.png") for name in ("noisy", "deconvnet", "BM3D", "clean")]])
    sheet(args, "inpaint.jpg", [[(f"{mask}, {tool}", f"{mask}-{tool}.png")
                                 for tool in ("given", "deconvnet", "biharmonic", "SPORCO AddMaskSim")]
                                for mask in ("random 80 %", "text")])


if __name__ == "__main__":
    main()
