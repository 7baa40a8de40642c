#!/usr/bin/env python3
"""Writes tests/fixtures/invert.npz: convolutions inverted by NumPy's pinv and SciPy's lsqr.

    python scripts/invert_reference.py

For each case the fixture holds filters, x and y = W x (+ noise), and, from the matrix W written down
tap by tap: its singular values and rank, pinv(W) y, what lsqr finds, and the part of x in the null
space. Filters and x are single precision numbers. Everything else is double precision, stored as the
sum of two single precision arrays, `_hi` + `_lo`.
"""
import pathlib

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsqr

GAUSS = np.exp(-0.5 * np.arange(-2, 3) ** 2)
LUMA = [0.299, 0.587, 0.114]


def each(channels, plane):
    """The same plane for every channel."""
    plane = np.atleast_2d(np.asarray(plane, float))
    filters = np.zeros((channels, channels, *plane.shape))
    for c in range(channels):
        filters[c, c] = plane
    return filters


def random(out, planes, h, w, seed):
    return np.random.default_rng(seed).standard_normal((out, planes, h, w))


#        name           filters                          padding     stride  image        noise
CASES = [
    ("wide",            each(1, [0.25, 1, 0.25]),        "none",     (1, 1), (1, 1, 24),  0),
    ("square",          each(1, [0.25, 1, 0.25]),        "zeros",    (1, 1), (1, 1, 24),  0),
    ("singular",        each(1, [0.25, 0.5, 0.25]),      "circular", (1, 1), (1, 1, 24),  0),
    ("decolour",        np.reshape(LUMA, (1, 3, 1, 1)),  "none",     (1, 1), (3, 5, 6),   0),
    ("blur",            each(2, np.outer(GAUSS, GAUSS)), "reflect",  (1, 1), (2, 9, 10),  0),
    ("overcomplete",    random(8, 3, 3, 3, 1),           "zeros",    (1, 1), (3, 6, 7),   0.1),
    ("strided",         random(3, 2, 3, 3, 2),           "zeros",    (2, 2), (2, 8, 7),   0),
    ("strided_tall",    random(9, 2, 3, 2, 3),           "circular", (2, 2), (2, 8, 6),   0.1),
    ("strided_wide",    random(2, 2, 3, 3, 4),           "circular", (2, 3), (2, 8, 6),   0),
    ("even",            random(2, 1, 2, 4, 5),           "reflect",  (1, 2), (1, 7, 9),   0),
]


def source(at, side, padding):
    """The pixel that stands at place `at`, which may lie outside; None for a zero."""
    if 0 <= at < side:
        return at
    if padding == "circular":
        return at % side
    if padding == "reflect":
        return -at if at < 0 else 2 * (side - 1) - at
    return None


def matrix(filters, padding, stride, image):
    """W of a correlation, as torch's conv2d with padding="same" has it, or without padding."""
    out, planes, h, w = filters.shape
    _, height, width = image
    before = [0, 0] if padding == "none" else [(h - 1) // 2, (w - 1) // 2]
    room = [(h - 1) * (padding == "none"), (w - 1) * (padding == "none")]
    rows, columns = ((side - r - 1) // s + 1 for side, r, s in zip((height, width), room, stride))
    W = np.zeros((out, rows, columns, planes, height, width))
    for a in range(h):
        for b in range(w):
            for i in range(rows):
                for j in range(columns):
                    y = source(stride[0] * i + a - before[0], height, padding)
                    x = source(stride[1] * j + b - before[1], width, padding)
                    if y is not None and x is not None:
                        W[:, i, j, :, y, x] += filters[:, :, a, b]
    return W.reshape(out * rows * columns, -1), (out, rows, columns)


if __name__ == "__main__":
    fixture = {}

    def put(name, values):
        hi = np.asarray(values, np.float32)
        fixture[name + "_hi"] = hi
        fixture[name + "_lo"] = np.asarray(np.asarray(values, np.float64) - hi, np.float32)

    for seed, (name, filters, padding, stride, image, noise) in enumerate(CASES):
        rng = np.random.default_rng(100 + seed)
        filters = filters.astype(np.float32)
        x = rng.random(image).astype(np.float32)
        W, shape = matrix(filters.astype(float), padding, stride, image)
        y = W @ x.ravel().astype(float)
        y = y + noise * rng.standard_normal(y.shape)
        s = np.linalg.svd(W, compute_uv=False)
        inverse = np.linalg.pinv(W)
        found = inverse @ y
        iterated = lsqr(csr_matrix(W), y, atol=0, btol=0, conlim=0, iter_lim=20 * max(W.shape))[0]
        fixture[name + "_filters"], fixture[name + "_x"] = filters, x
        fixture[name + "_rank"] = np.float64(np.linalg.matrix_rank(W))
        put(name + "_y", y.reshape(shape))
        put(name + "_s", s)
        put(name + "_pinv", found.reshape(image))
        put(name + "_lsqr", iterated.reshape(image))
        put(name + "_null", (x.ravel() - inverse @ (W @ x.ravel())).reshape(image))
        print(f"{name:13} {W.shape[0]:4} x {W.shape[1]:3}  rank {np.linalg.matrix_rank(W):3}  "
              f"condition {s[0] / s[-1]:.3g}  pinv and lsqr differ by "
              f"{np.linalg.norm(found - iterated) / np.linalg.norm(found):.1e}")
    path = pathlib.Path(__file__).parent.parent / "tests/fixtures/invert.npz"
    np.savez_compressed(path, **fixture)
    print(path.stat().st_size, "bytes")
