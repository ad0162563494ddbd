"""How many rows make a page: as many as have no more than so many bytes, and at least one."""

from collections.abc import Iterable


def count_fitting(sizes: Iterable[int], size_max: int) -> int:
    """How many of the first `sizes` have no more than `size_max` together; at least one, where there are any."""
    count, total = 0, 0
    for size in sizes:
        total += size
        if count and total > size_max:
            break
        count += 1
    return count
