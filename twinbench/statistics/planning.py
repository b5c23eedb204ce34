"""What a comparison that was not made yet could find: the power of the exact test of paired verdicts, and its inverse.

Two models are compared on the same tasks by ``comparing.mcnemar``. How often it finds a difference depends on that
difference and on how often the two differ at all. Its power is computed exactly, from binomial distributions, since the
test is more cautious than the normal approximation: with a hundred tasks it would promise a power of 80 % where there
is one of 74 %.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from twinbench.statistics.clusters import Floats, Ints
from twinbench.statistics.comparing import DEFAULT_POWER

MAX_TASKS = 100_000
"""Of an experiment that is planned: with more, any difference that matters is found."""

_IGNORED_TAIL = 1e-7
"""What is left out of a binomial distribution at both ends together."""

_MAX_BISECTIONS = 40


def _log_factorials(most: int) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


def _binomial(count: int, chance: float, log_factorials: Floats) -> tuple[int, Floats]:
    """The probabilities of the counts that matter, and the lowest of these."""
    if chance <= 0 or chance >= 1:
        return (count if chance >= 1 else 0), np.ones(1)
    spread = math.sqrt(count * chance * (1 - chance))
    reach = 5.5 * spread + 6
    low, high = max(0, math.floor(count * chance - reach)), min(count, math.ceil(count * chance + reach))
    numbers = np.arange(low, high + 1)
    logs = log_factorials[count] - log_factorials[numbers] - log_factorials[count - numbers]
    return low, np.exp(logs + numbers * math.log(chance) + (count - numbers) * math.log1p(-chance))


@cache
def _critical_counts(most: int, level: float) -> Ints:
    """By the number of pairs that differ: up to how many of them on the rarer side the sign test finds a difference.

    -1 where it finds none, however they split.
    """
    log_factorials = _log_factorials(most)
    found = np.full(most + 1, -1, np.intp)
    rarer, alpha = -1, 1 - level
    for coins in range(1, most + 1):
        # The critical count never falls as coins are added, and rises by one at most.
        tried = rarer + 1
        numbers = np.arange(max(0, tried - 60), tried + 1)
        logs = log_factorials[coins] - log_factorials[numbers] - log_factorials[coins - numbers]
        if 2 * float(np.exp(logs - coins * math.log(2)).sum()) <= alpha and 2 * tried < coins:
            rarer = tried
        found[coins] = rarer
    return found


def sign_test_power(tasks: int, differing: float, difference: float, *, level: float = 0.95) -> float:
    """The chance that the exact test of paired verdicts finds a difference.

    Args:
        tasks: on which both are tried.
        differing: the share of tasks, from 0 to 1, on which their verdicts differ in truth.
        difference: of the true shares that they solve; at most ``differing``.
        level: 1 less the chance of a false alarm.

    Returns:
        From 0 to 1; also counts the chance to find it the wrong way round, which is next to nothing.
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
        rarer = int(critical[coins])
        if rarer < 0 or chance < _IGNORED_TAIL / len(chances):
            continue
        first, split = _binomial(coins, ahead, log_factorials)
        numbers = np.arange(first, first + len(split))
        power += chance * float(split[(numbers <= rarer) | (numbers >= coins - rarer)].sum())
    return min(1.0, power)


def _round_up_to_power_of_two(number: int) -> int:
    """To a power of two, so that few tables are made."""
    return 1 << max(6, int(number - 1).bit_length())


def detectable_difference(
    tasks: int, differing: float, *, level: float = 0.95, power: float = DEFAULT_POWER
) -> float | None:
    """The smallest true difference of shares that the test finds with a given power.

    Args:
        tasks: on which both are tried.
        differing: the share of tasks on which their verdicts differ; more where the difference alone is more.
        level: as of ``sign_test_power``.
        power: the chance to find it.

    Returns:
        From 0 to 1; None where so few tasks find no difference at all.
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
    """How many tasks the test needs to find a true difference with a given power.

    Returns:
        None where there is no difference, or ``MOST_TASKS`` would not do.
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
    """``comparing.sign_test`` of many pairs of counts at once; the same to 10 digits.

    Args:
        plus: how many differ in one direction; any shape.
        minus: how many in the other; the same shape.
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
