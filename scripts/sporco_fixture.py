#!/usr/bin/env python3
"""Makes tests/fixtures/sporco-*.npz: coding problems with a circular boundary and the least objective that
SPORCO finds, for the tests to be held against.

    pip install numpy sporco==0.2.2.post1 pyfftw
    python scripts/sporco_fixture.py
"""
import pathlib

import numpy as np
from sporco.admm import cbpdn

folder = pathlib.Path(__file__).parent.parent / 'tests/fixtures'
rng = np.random.default_rng(0)
K, M, H, W, h, w = 2, 4, 14, 17, 4, 3
lmbda = 0.1

D = rng.standard_normal((M, 1, h, w)).astype('f4')
D /= np.sqrt((D ** 2).sum(axis=(1, 2, 3), keepdims=True))
s = rng.standard_normal((K, 1, H, W)).astype('f4')
weights = (0.3 + rng.random((1, M, H, W)) * 2).astype('f4')


def objective(x, l1):
    """1/2 || sum_m d_m * x_m - s ||^2 + lmbda || l1 x ||_1, circular; x is [K, M, H, W]"""
    d = np.fft.fft2(D[:, 0].astype('f8'), (H, W))
    r = np.fft.ifft2((d[None] * np.fft.fft2(x)).sum(1)).real - s[:, 0]
    return 0.5 * (r ** 2).sum() + lmbda * np.abs(l1 * x).sum()


for name, options in [('plain', {}), ('non-negative', {'NonNegCoef': True}), ('weighted', {'L1Weight': True})]:
    # SPORCO's automatic rho drifts away again after some hundred steps.
    opt = {'Verbose': False, 'MaxMainIter': 3000, 'RelStopTol': 1e-12, 'DataType': np.float64,
           'rho': 1.0, 'AutoRho': {'Enabled': False}}
    l1 = np.float64(1)
    arrays = {'s': s, 'D0': D, 'lmbda': np.float64(lmbda), 'boundary': 'circular'}
    if 'NonNegCoef' in options:
        opt['NonNegCoef'] = True
        arrays['NonNegCoef'] = np.float64(1)
    if 'L1Weight' in options:
        opt['L1Weight'] = weights.astype('f8').transpose(2, 3, 0, 1)[:, :, None]     # H, W, C, K, M
        l1 = arrays['L1Weight'] = weights
    b = cbpdn.ConvBPDN(D[:, 0].transpose(1, 2, 0).astype('f8'), s[:, 0].transpose(1, 2, 0).astype('f8'), lmbda,
                       cbpdn.ConvBPDN.Options(opt), dimK=1)
    b.solve()
    x = b.Y[:, :, 0].transpose(2, 3, 0, 1)                                           # K, M, H, W
    found = objective(x, l1)
    print(f'{name}: {found:.9f}, {np.count_nonzero(x) / x.size:.3f} non-zero, least {x.min():.3f}')
    np.savez(folder / f'sporco-{name}.npz', F_opt=np.float64(found), **arrays)
