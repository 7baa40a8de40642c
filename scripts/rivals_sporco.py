"""SPORCO as a rival, see rivals.py: https://github.com/bwohlberg/sporco, 0.2.2.post1."""

import numpy as np


def setup(threads):
    import pyfftw
    import sporco.fft

    sporco.fft.pyfftw_threads = threads
    sporco.fft.pyfftw_planner_effort = "FFTW_MEASURE"
    pyfftw.interfaces.cache.enable()
    pyfftw.interfaces.cache.set_keepalive_time(3600)


def canvas(s, d, circular=False):
    """Images with a margin of zeros, and a weight that ignores it: SPORCO's way to 'valid'. None where the
    boundary is circular."""
    h, w = (1, 1) if circular else d.shape[-2:]
    padded = np.pad(s, ((0, 0), (0, 0), (h - 1, 0), (w - 1, 0)))
    weight = np.zeros_like(padded)
    weight[..., h - 1 :, w - 1 :] = 1
    # SPORCO wants the axes [H, W, C, K]; without channels it takes a faster path.
    ordered = [a.transpose(2, 3, 1, 0) for a in (padded, weight, d)]
    return [a[:, :, 0] if s.shape[1] == 1 else a for a in ordered]


def coding(s, d, lmbda, method, watch, iterations):
    from sporco.admm import cbpdn
    from sporco.pgm import cbpdn as pgm
    from sporco.pgm.backtrack import BacktrackRobust

    image, weight, atoms = canvas(s, d, method.startswith("circular"))
    maps = lambda x: np.asarray(x).reshape(image.shape[:2] + (-1, s.shape[0], x.shape[-1]))
    plain = lambda x: maps(x)[:, :, 0].transpose(2, 3, 0, 1)
    options = {
        "FastSolve": True,
        "MaxMainIter": iterations,
        "RelStopTol": 0.0,
        "DataType": np.dtype(np.float32),
    }
    m = d.shape[0]
    if method == "circular":
        options["Callback"] = lambda b: watch(d, plain(b.Y))
        options["RelaxParam"] = 1.8
        return cbpdn.ConvBPDN(atoms, image, lmbda, cbpdn.ConvBPDN.Options(options), dimK=1)
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
    if method == "circular-pgm":
        return pgm.ConvBPDN(atoms, image, lmbda, pgm.ConvBPDN.Options(options), dimK=1)
    if method == "pgm-robust":
        options["L"], options["Backtrack"] = 0.1 * step, BacktrackRobust()
    return pgm.ConvBPDNMask(
        atoms, image, lmbda, thin, pgm.ConvBPDNMask.Options(options), dimK=1
    )


def learning(s, d, lmbda, _, watch, iterations):
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


def online(s, d, lmbda, watch, epochs, every):
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


def run(s, d, lmbda, args, watch):
    """Codes or learns under a watch, after two steps that are not counted."""
    setup(args.threads)
    if args.rival == "sporco-online":
        online(s[:1], d, lmbda, lambda *_: False, 2, 1)
        watch = watch()
        online(s, d, lmbda, watch, args.epochs, args.every)
        return watch.curve
    make = learning if args.rival == "sporco-learning" else coding
    method = args.rival.removeprefix("sporco-")
    make(s, d, lmbda, method, lambda *_: False, 2).solve()
    watch = watch()
    make(s, d, lmbda, method, watch, args.iterations).solve()
    return watch.curve
