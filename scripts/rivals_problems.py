"""The problem files of rivals.py: reading, and making them from images."""

import sys

import numpy as np


def read(path):
    z = np.load(path)
    if str(z["boundary"]) not in ("valid", "circular"):
        sys.exit(f"{path}: boundary must be \"valid\" or \"circular\"")
    return z["s"].astype(np.float32), z["D0"].astype(np.float32), float(z["lmbda"])


def objective(s, d, x, lmbda):
    """In double precision, by Fourier transforms of the size of the maps, the last rows and columns of which
    are the valid part, or, with a circular boundary, all."""
    size, (height, width) = x.shape[-2:], s.shape[-2:]
    spectra = [np.fft.rfft2(a.astype(np.float64), size) for a in (d, x)]
    sums = np.fft.irfft2(np.einsum("mcuv,kmuv->kcuv", *spectra), size)
    error = sums[..., -height:, -width:] - s
    return 0.5 * np.sum(error**2) + lmbda * np.abs(x).sum(dtype=np.float64)


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


def save(path, images, d, lmbda, boundary="valid"):
    np.savez(path, s=np.stack(images).astype(np.float32), D0=d, lmbda=lmbda, boundary=boundary)


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
    save(args.out, images, d, args.lmbda, args.boundary)


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
