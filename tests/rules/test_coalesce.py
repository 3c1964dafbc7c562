"""Requests that wait together go together, and no one's trouble is another's."""

import asyncio
from collections.abc import Sequence

import pytest

from perennial.base.coalesce import Coalescer
from perennial.base.errors import Invalid, Unavailable


class Work:
    """Answers each number with its double; `bad` fails the batch it is in, `away` is a store that does not answer."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, batch: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(batch))
        await asyncio.sleep(0)
        if 13 in batch:
            raise Invalid("thirteen")
        if 99 in batch:
            raise Unavailable("away")
        return [Invalid("negative") if number < 0 else number * 2 for number in batch]


async def gather(work: Work, *numbers: int) -> list[int | BaseException]:
    coalescer: Coalescer[int, int] = Coalescer(work, slots=1)
    return await asyncio.gather(*(coalescer.submit(number) for number in numbers), return_exceptions=True)


async def test_what_waits_together_is_one_batch_in_order():
    work = Work()
    assert await gather(work, 1, 2, 3) == [2, 4, 6]
    assert work.batches == [[1, 2, 3]]


async def test_one_s_refusal_is_not_its_neighbours():
    one, refused, three = await gather(Work(), 1, -2, 3)
    assert (one, three) == (2, 6)
    assert isinstance(refused, Invalid)


async def test_a_failed_batch_is_tried_one_by_one():
    work = Work()
    one, bad, three = await gather(work, 1, 13, 3)
    assert (one, three) == (2, 6)
    assert isinstance(bad, Invalid)
    assert work.batches == [[1, 13, 3], [1], [13], [3]]


async def test_what_is_away_for_one_is_away_for_all_and_is_asked_once():
    work = Work()
    answers = await gather(work, 1, 99, 3)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert work.batches == [[1, 99, 3]]


async def test_who_gave_up_leaves_the_batch():
    work = Work()
    coalescer: Coalescer[int, int] = Coalescer(work, slots=1)
    gone, stays = coalescer.submit(1), coalescer.submit(2)
    gone.cancel()
    assert await stays == 4
    assert work.batches == [[2]]


async def test_the_queue_has_a_limit():
    coalescer: Coalescer[int, int] = Coalescer(Work(), slots=1, longest_queue=2)
    waiting = [coalescer.submit(1), coalescer.submit(2)]
    with pytest.raises(Unavailable):
        coalescer.submit(3)
    assert await asyncio.gather(*waiting) == [2, 4]
