"""FISTA and learning in PyTorch as rivals, see rivals.py, on the CPU or an NVIDIA GPU."""

import itertools

import torch
from torch.nn.functional import conv2d, conv_transpose2d, pad, softshrink
from torch.nn.grad import conv2d_weight


def fast_length(n):
    """The least length from `n` on that is a product of 2, 3 and 5, which Fourier transforms favour."""

    def rest(m):
        for prime in (2, 3, 5):
            while m % prime == 0:
                m //= prime
        return m

    return next(m for m in itertools.count(n) if rest(m) == 1)


def products(engine, image, taps):
    """Synthesis, its adjoint and its filter gradient."""
    (height, width), (h, w) = image, taps
    if engine == "conv":
        kernel = lambda d: d.flip(-1, -2).transpose(0, 1)
        shape = lambda x, r: (r.shape[1], x.shape[1], h, w)
        return (
            lambda d, x: conv2d(x, kernel(d)),
            lambda d, r: conv_transpose2d(r, kernel(d)),
            lambda x, r: kernel(conv2d_weight(x, shape(x, r), r)),
        )
    maps = [height + h - 1, width + w - 1]
    size = [fast_length(n) for n in maps]
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


def fista(x, gradient, shrink, step, dims):
    """Accelerated proximal gradient, with restart of each problem; yields x after each step."""
    v, t = x, torch.ones([1 if i in dims else n for i, n in enumerate(x.shape)], device=x.device)
    while True:
        new = shrink(v - step * gradient(v), step)
        moved, after = new - x, 0.5 * (1 + (1 + 4 * t * t).sqrt())
        uphill = ((v - new) * moved).sum(dims, keepdim=True) > 0
        v = torch.where(uphill, new, torch.addcmul(new, (t - 1) / after, moved))
        x, t = new, after.masked_fill(uphill, 1.0)
        yield x


def solver(s, d, lmbda, rival, device, watch, iterations):
    """Coding, or with `learning` in the name of the rival learning: ten steps on the maps and five
    on the filters in turn. All of it stays on the device."""
    y, d = (torch.tensor(a, device=device) for a in (s, d))
    engine = "fft" if rival.endswith("-fft") else "conv"
    synthesize, analyze, filter_gradient = products(engine, s.shape[-2:], d.shape[-2:])
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
        return itertools.islice(fista(x, gradient, soft, step_of(d), (1, 2, 3)), steps)

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
        for d in itertools.islice(fista(d, gradient, ball, step, (0, 1, 2, 3)), 5):
            pass
        if done(d, x):
            return


def objective(s, lmbda, device):
    """F as `rivals_problems.objective`, on the device, image by image."""
    y = torch.tensor(s, device=device).double()

    def look(d, x):
        size, (h, w) = x.shape[-2:], d.shape[-2:]
        spectra = torch.fft.rfft2(d.double(), s=size)

        def data(k):
            planes = torch.einsum("mcuv,muv->cuv", spectra, torch.fft.rfft2(x[k].double()))
            error = torch.fft.irfft2(planes, s=size)[..., h - 1 :, w - 1 :] - y[k]
            return float(error.square().sum())

        return 0.5 * sum(map(data, range(len(y)))) + lmbda * float(x.abs().sum(dtype=torch.float64))

    return look


def run(s, d, lmbda, args, watch):
    """Codes or learns under a watch, after two steps that are not counted."""
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    look = objective(s, lmbda, args.device)
    with torch.no_grad():
        solver(s, d, lmbda, args.rival, args.device, lambda *_: False, 2)
        watch = watch(look)
        solver(s, d, lmbda, args.rival, args.device, watch, args.iterations)
    return watch.curve
