"""How many dependent rows count as one independent row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def design_effect(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """Design effect of the mean of each column of `series` [rows in time order, columns], at least 1.

    Geyer's initial monotone sequence (1992): autocorrelations by FFT, summed in pairs until one falls below its
    noise, each pair no larger than the one before; plus one standard error of its own.

    >>> noise = np.random.default_rng(3).normal(size=(20_000, 1))
    >>> float(design_effect(noise)[0]) < 1.1, 3 < float(design_effect(noise.repeat(4, axis=0))[0]) < 6
    (True, True)
    """
    rows, columns = series.shape
    effects = np.ones(columns)
    if rows < 16:
        return effects
    centred = series - series.mean(axis=0)
    lags = min(rows // 4, 2_000)
    length = 1 << int(np.ceil(np.log2(rows + lags)))
    transform = np.fft.rfft(centred, length, axis=0)
    products = np.fft.irfft(transform * np.conj(transform), length, axis=0)[: lags + 1].real
    correlations = products / np.maximum(products[0], 1e-12)
    pairs = correlations[1 : lags - 1 : 2] + correlations[2:lags:2]
    for column in range(columns):
        sums = pairs[:, column]
        noise = np.flatnonzero(sums < np.sqrt(2 / rows))
        kept = int(noise[0]) if len(noise) else len(sums)
        if kept:
            effect = 1 + 2 * np.minimum.accumulate(sums[:kept]).sum()
            effects[column] = max(1.0, effect * (1 + np.sqrt(2 * (2 * kept + 1) / rows)))
    return effects
