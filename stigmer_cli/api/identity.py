"""Who a server is: a runner asks before it starts to work, and a command may compare it."""

from stigmer_cli.api.wire import Moment, Sent


class RunnerLoad(Sent):
    """What a runner tells the server with its question: how many of its slots are taken, and how many it has."""

    runner: str
    busy: int
    slots: int


class Identity(Sent):
    """A server, its store, and the Temporal that it is connected to.

    `task_queues` are those that a runner of this store polls: the store's own first, then the one from before stores
    had ids while workflows on it are still open. The Temporal's ids are None until the server has reached it once.
    `now` is the server's clock.
    """

    server_id: str
    store_id: str
    version: str
    namespace: str
    task_queues: list[str]
    temporal_cluster_id: str | None = None
    temporal_namespace_id: str | None = None
    now: Moment
