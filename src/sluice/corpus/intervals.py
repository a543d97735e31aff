"""How sure a share is that was counted on a sample: Wilson's interval."""

from __future__ import annotations

from statistics import NormalDist


def wilson(hits: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """The interval in which the true share lies, for `hits` of `trials`; from 0 to 1 where nothing was tried.

    It stays inside 0 to 1 and is not of width 0 at the ends, where the usual plus-minus fails. A number that stands for
    a sample of unequal weights (`stratified`) need not be whole.

    >>> [round(end, 3) for end in wilson(0, 20)]
    [0.0, 0.161]
    >>> [round(end, 3) for end in wilson(180, 200)]
    [0.851, 0.934]
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")
    if not trials:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / trials
    centre = share + z * z / (2 * trials)
    half = z * ((share * (1 - share) + z * z / (4 * trials)) / trials) ** 0.5
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
