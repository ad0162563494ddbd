"""The notifier: a subscriber is woken by each change but the one it made itself."""

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.executions.notifier import Notifier
from tests.support.fakes_temporal import in_virtual_time

ID = ExecutionId("aex-1")


def test_who_made_the_first_change_is_not_woken_by_it() -> None:
    async def wait() -> bool:
        notifier = Notifier()
        with notifier.subscribe(ID) as subscription:
            notifier.notify(ID)
            subscription.skip_first()
            return await subscription.wait(within_s=1)

    assert in_virtual_time(wait()) is False


def test_a_change_that_came_with_ones_own_is_not_missed() -> None:
    async def wait() -> bool:
        notifier = Notifier()
        with notifier.subscribe(ID) as subscription:
            notifier.notify(ID)
            notifier.notify(ID)
            subscription.skip_first()
            return await subscription.wait(within_s=1)

    assert in_virtual_time(wait()) is True


def test_a_change_after_ones_own_is_not_missed() -> None:
    async def wait() -> bool:
        notifier = Notifier()
        with notifier.subscribe(ID) as subscription:
            notifier.notify(ID)
            subscription.skip_first()
            notifier.notify(ID)
            return await subscription.wait(within_s=1)

    assert in_virtual_time(wait()) is True
