"""Plan a comparison: the power of McNemar's exact test, detectable differences, and the number of tasks needed.

Two models are compared on the same tasks with ``comparing.mcnemar``. The power of the test depends on the true
difference and on how often the two models differ at all. It is computed exactly, from binomial distributions, since the
test is more conservative than the normal approximation, which with a hundred tasks promises a power of 80 % where the
true one is 74 %.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from twinbench.statistics.clusters import Floats, Ints
from twinbench.statistics.comparing import DEFAULT_POWER

MAX_TASKS = 100_000
"""Largest number of tasks of a planned experiment; with more, every relevant difference is detected."""

_IGNORED_TAIL = 1e-7
"""Probability that may be ignored in the tails of a binomial distribution."""

_MAX_BISECTIONS = 40


def _log_factorials(most: int) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


def _binomial(count: int, chance: float, log_factorials: Floats) -> tuple[int, Floats]:
    """Return the probabilities of a binomial distribution without its negligible tails; ``chance`` is above 0.

    Returns:
        The lowest count that is included, and the probabilities from that count on.
    """
    if chance >= 1:
        return count, np.ones(1)
    spread = math.sqrt(count * chance * (1 - chance))
    reach = 5.5 * spread + 6
    low, high = max(0, math.floor(count * chance - reach)), min(count, math.ceil(count * chance + reach))
    numbers = np.arange(low, high + 1)
    logs = log_factorials[count] - log_factorials[numbers] - log_factorials[count - numbers]
    return low, np.exp(logs + numbers * math.log(chance) + (count - numbers) * math.log1p(-chance))


@cache
def _critical_counts(most: int, level: float) -> Ints:
    """Return the sign test's critical values, indexed by the number of pairs that differ, up to ``most``.

    The test is significant if the rarer side has at most this many pairs; -1 means that it never is.
    """
    log_factorials = _log_factorials(most)
    found = np.full(most + 1, -1, np.intp)
    rarer, alpha = -1, 1 - level
    for coins in range(most + 1):
        # The critical count never falls as coins are added, and rises by one at most. It stays below half of them.
        tried = rarer + 1
        numbers = np.arange(max(0, tried - 60), tried + 1)
        logs = log_factorials[coins] - log_factorials[numbers] - log_factorials[coins - numbers]
        if 2 * float(np.exp(logs - coins * math.log(2)).sum()) <= alpha:
            rarer = tried
        found[coins] = rarer
    return found


def sign_test_power(tasks: int, differing: float, difference: float, *, level: float = 0.95) -> float:
    """Return the power of McNemar's exact test: the probability that it detects a true difference.

    Args:
        tasks: the number of tasks that both models are tried on.
        differing: the true share of tasks, from 0 to 1, on which their verdicts differ.
        difference: the true difference between their shares of solved tasks; at most ``differing``.
        level: 1 minus the probability of a false positive.

    Returns:
        A probability. It includes significant results in the wrong direction, which are negligible.
    """
    differing = min(1.0, max(differing, abs(difference)))
    if not tasks or not differing:
        return 0.0
    ahead = (1 + abs(difference) / differing) / 2
    log_factorials = _log_factorials(tasks)
    low, chances = _binomial(tasks, differing, log_factorials)
    critical = _critical_counts(_round_up_to_power_of_two(low + len(chances)), level)
    power = 0.0
    for coins, chance in enumerate(chances.tolist(), low):
        if chance < _IGNORED_TAIL / len(chances):
            continue
        rarer = int(critical[coins])
        first, split = _binomial(coins, ahead, log_factorials)
        numbers = np.arange(first, first + len(split))
        power += chance * float(split[(numbers <= rarer) | (numbers >= coins - rarer)].sum())
    return min(1.0, power)


def _round_up_to_power_of_two(number: int) -> int:
    """Round up to a power of two (at least 64), so that few different tables are computed."""
    return 1 << max(6, int(number - 1).bit_length())


def detectable_difference(
    tasks: int, differing: float, *, level: float = 0.95, power: float = DEFAULT_POWER
) -> float | None:
    """Return the smallest true difference between shares that McNemar's exact test detects with a given power.

    Args:
        tasks: the number of tasks that both models are tried on.
        differing: the share of tasks on which their verdicts differ; raised to the difference if that is larger.
        level: see ``sign_test_power``.
        power: the required probability of detection.

    Returns:
        A difference from 0 to 1; None if there are too few tasks to detect any difference.
    """
    if sign_test_power(tasks, 1.0, 1.0, level=level) < power:
        return None
    least, most = 0.0, 1.0
    for _ in range(_MAX_BISECTIONS):
        middle = (least + most) / 2
        if sign_test_power(tasks, differing, middle, level=level) < power:
            least = middle
        else:
            most = middle
        if most - least < 1e-4:
            break
    return most


def needed_tasks(
    difference: float, differing: float, *, level: float = 0.95, power: float = DEFAULT_POWER
) -> int | None:
    """Return how many tasks McNemar's exact test needs to detect a true difference with a given power.

    Returns:
        None if the difference is 0, or if more than ``MAX_TASKS`` would be needed.
    """
    if not difference:
        return None
    least, most = 0, 8
    while sign_test_power(most, differing, difference, level=level) < power:
        least, most = most, 2 * most
        if most > MAX_TASKS:
            return None
    while most - least > 1:
        middle = (least + most) // 2
        if sign_test_power(middle, differing, difference, level=level) < power:
            least = middle
        else:
            most = middle
    return most


def sign_test_p_values(plus: Ints, minus: Ints) -> Floats:
    """Compute ``comparing.sign_test`` for many pairs of counts at once, equal to it to 10 digits.

    Args:
        plus: how many pairs differ in one direction; any shape.
        minus: how many pairs differ in the other direction; the same shape.
    """
    coins, rarer = plus + minus, np.minimum(plus, minus)
    most = int(coins.max(initial=0))
    log_factorials = _log_factorials(most)
    keys, places = np.unique(coins * (most + 1) + rarer, return_inverse=True)
    found = np.empty(len(keys))
    for place, key in enumerate(keys.tolist()):
        count, few = divmod(key, most + 1)
        numbers = np.arange(few + 1)
        logs = log_factorials[count] - log_factorials[numbers] - log_factorials[count - numbers]
        found[place] = min(1.0, 2 * float(np.exp(logs - count * math.log(2)).sum()))
    return found[places].reshape(np.shape(plus))
