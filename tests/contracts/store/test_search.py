"""Finding executions by words, labels and time: the same in both databases, in order, and page by page."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from stigmer_cli.domain.execution import Execution, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.labels import parse_label_selector
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.search import SEARCHED_MAX, parse_search
from stigmer_cli.store import listing
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import RUN, WITHOUT_SEARCH, RealSleepClock, draft
from tests.support.ids import claim
from tests.support.moves import mark_submitted


async def accept(store: Store, message: str, **labels: str) -> ExecutionId:
    taken = await store.executions.accept(draft(message=message, labels=labels), reason=QueueReason.ACCEPTED, detail="")
    return taken.execution.id


async def end(store: Store, id_: ExecutionId, outcome: Outcome) -> None:
    await mark_submitted(store, id_, epoch=1, run_id=RUN, cluster="w", already=False)
    await claim(store, id_, epoch=1, run=RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=1, runner="mill")
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome)


async def found(store: Store, wanted: Filter, *, size: int = 2) -> list[ExecutionId]:
    """All that match, newest first, read page by page; fails if they are counted otherwise."""
    ids: list[ExecutionId] = []
    cursor: str | None = None
    for _ in range(100):
        page = await store.executions.list(wanted, limit=size, cursor=cursor)
        ids += [execution.id for execution in page.items]
        cursor = page.next_cursor
        if cursor is None:
            assert await store.executions.count(wanted, limit=1000) == len(ids)
            return ids
    pytest.fail("the pages never end")


def search(text_: str) -> Filter:
    return Filter(search=parse_search(text_))


def labelled(*selectors: str) -> Filter:
    return Filter(labels=[parse_label_selector(selector) for selector in selectors])


MESSAGE = "Deploy the Käsekuchen-service to eu-west-1, ask ops@example.com/team (v1.2.3) <b>now</b> C++ foo_bar 42"


SEARCHES = (
    ("deploy", True), ("DEPLOY service", True), ("service deploy", True), ("käsekuchen", True),
    ("KÄSEKUCHEN", True),
    ("eu-west-1", True), ("west", True), ("example.com", True), ("ops@example.com/team", True), ("v1.2.3", True),
    ('"deploy the"', True), ('"the deploy"', False), ('"to eu west"', True), ('"deploy service"', False),
    ("depl*", True), ("depl", False), ("eu-we*", True), ("now", True), ("foo_bar", True), ("bar", True),
    ("42", True), ("4", False), ("deploy missing", False), ("kasekuchen", False),
    ('"unclosed the', False), ('deploy "the', True), ("foo_b*", True), ("c++", True),
    ("deploy AND the", False), ("deploy OR missing", False), ("NOT missing", False), ("text:deploy", False),
    ("deploy) (the", True), ("^deploy", True), ("deploy -the", True), ("{deploy}", True), ("'deploy'", True),
    ("deploy & the | !x", False), ("deploy:*", True), ("NEAR(deploy the)", False), ("a\\'b", False),
    ("deploy — the", True), (":deploy:", True), ("deploy;DROP", False), ("%deploy%", True), ("deploy ***", True),
)  # fmt: skip
"""Searches, and whether they find MESSAGE."""


async def test_a_search_means_the_same_in_both_databases(store: Store) -> None:
    id_ = await accept(store, MESSAGE)
    for asked, is_found in SEARCHES:
        assert (asked, await found(store, search(asked))) == (asked, [id_] if is_found else [])


UNSPACED = "请提交GPU集群的错误日志：连接被拒绝。サーバーを再起動して ขอรายงานประจำวัน 서버에서 report"  # noqa: RUF001
UNSPACED_SEARCHES = (
    ("提交", True), ("集群", True), ("gpu集群", True), ("错误:连接", True), ("日志 提交", True), ('"提交 连接"', True),
    ('"连接 提交"', False), ("再起動", True), ("รายงาน", True), ("서버", True), ("提交*", True), ("提交 report", True),
    ("提交 deploy", False), ("取消", False), ("提%交", True), ("提_交", True),
)  # fmt: skip
"""Searches in scripts without spaces, and whether they find UNSPACED."""


async def test_what_has_no_spaces_is_found_anywhere(store: Store) -> None:
    await accept(store, MESSAGE)
    id_, other = await accept(store, UNSPACED), await accept(store, "the next one")
    for asked, is_found in UNSPACED_SEARCHES:
        assert (asked, await found(store, search(asked))) == (asked, [id_] if is_found else [])
    await end(store, other, Outcome(phase=Phase.COMPLETED, output="已提交"))
    assert await found(store, search("提交")) == [other, id_]
    ended = Filter(search=parse_search("提交"), phases=frozenset({Phase.COMPLETED}))
    assert await found(store, ended) == [other]


async def test_no_text_that_a_person_types_is_a_syntax_error(store: Store) -> None:
    rng = random.Random(4)
    alphabet = "ab \"'*()&|!:<>-+^~{}[],.;%$#@\\/?=_—é漢\u0301\u200d\U0001f600"
    for _ in range(100):
        asked = "a" + "".join(rng.choices(alphabet, k=rng.randint(1, 12)))
        await store.executions.list(search(asked), limit=1)


async def test_outputs_and_errors_are_searched_once_they_are_there_and_what_they_replace_no_longer(
    store: Store,
) -> None:
    answered, broke = await accept(store, "alpha"), await accept(store, "beta")
    assert await found(store, search("gamma")) == []
    await end(store, answered, Outcome(phase=Phase.COMPLETED, output="gamma rays"))
    await end(store, broke, Outcome(phase=Phase.FAILED, error="delta: gamma is missing"))
    assert await found(store, search("gamma")) == [broke, answered]
    assert await found(store, search("alpha gamma")) == [answered]
    assert await found(store, search('"gamma is"')) == [broke]


async def test_a_long_text_is_accepted_and_searched_as_far_as_is_said(store: Store) -> None:
    words = " ".join(f"{chr(0x4E00 + number % 20000)}{number}" for number in range(200_000))
    inside = words[: SEARCHED_MAX - 100].split()[-2]
    id_ = await accept(store, words)
    await end(store, id_, Outcome(phase=Phase.FAILED, output=words, error=words))
    assert await found(store, search(inside)) == [id_]
    assert await found(store, search(words.split()[-1])) == []


async def test_a_page_of_matches_follows_the_one_before_while_executions_are_added(
    store: Store, clock: RealSleepClock
) -> None:
    rng, kept = random.Random(3), []
    for number in range(24):
        id_ = await accept(store, f"number {'even' if number % 2 == 0 else 'odd'}", n=str(number % 2), all="")
        kept.append((clock.now(), id_, number % 2))
        # Several of one moment, and a clock that is set back.
        clock.move(rng.choice([0, 0, 0.000001, 5, -3]))
    newest_first = [(id_, odd) for _at, id_, odd in sorted(kept, reverse=True)]
    even = [id_ for id_, odd in newest_first if not odd]
    for size in (3, 50):
        assert await found(store, search("number"), size=size) == [id_ for id_, _odd in newest_first]
        assert await found(store, search("even"), size=size) == even
        assert await found(store, labelled("n=0"), size=size) == even
        assert await found(store, labelled("all", "n=0"), size=size) == even
        both = Filter(search=parse_search("number"), labels=labelled("n=0").labels)
        assert await found(store, both, size=size) == even
    page = await store.executions.list(search("even"), limit=3)
    clock.move(60)
    await accept(store, "even newer")
    rest = await store.executions.list(search("even"), limit=100, cursor=page.next_cursor)
    assert [one.id for one in (*page.items, *rest.items)] == even


async def test_labels_select_by_key_and_by_value(store: Store) -> None:
    prod = await accept(store, "a", env="prod", team="a=b")
    test = await accept(store, "b", env="test", **{"odd=key": "x"})
    await accept(store, "c")
    long = await accept(store, "d", text="x" * 3000)
    cases = {
        ("env",): [test, prod],
        ("env=prod",): [prod],
        ("env=",): [],
        ("env=prod", "team"): [prod],
        ("env=prod", "env=test"): [],
        ("team=a=b",): [prod],
        ("odd",): [],
        ("odd=key",): [],
        ("nothing",): [],
        ("text=" + "x" * 3000,): [long],
    }
    for selectors, expected in cases.items():
        assert (selectors, await found(store, labelled(*selectors))) == (selectors, expected)


async def test_since_and_until_bound_every_kind_of_list(store: Store, clock: RealSleepClock) -> None:
    ids, moments = [], []
    for _ in range(4):
        ids.append(await accept(store, "word", env="x"))
        moments.append(clock.now())
        clock.move(0.000001)
    middle = [ids[2], ids[1]]
    for wanted in (
        {"search": parse_search("word")},
        {"labels": labelled("env").labels},
        {"phases": frozenset({Phase.PENDING})},
        {},
    ):
        assert await found(store, Filter(since=moments[1], until=moments[3], **wanted)) == middle
        far = timedelta(days=365_000)
        assert await found(store, Filter(since=moments[3] - far, until=moments[3] + far, **wanted)) == ids[::-1]
        assert await found(store, Filter(since=moments[3] + timedelta(seconds=1), **wanted)) == []


async def test_a_search_is_narrowed_by_phase_and_agent(store: Store) -> None:
    done, open_ = await accept(store, "word"), await accept(store, "word")
    await end(store, done, Outcome(phase=Phase.COMPLETED, output="x"))
    narrowed = Filter(search=parse_search("word"), phases=frozenset({Phase.PENDING, Phase.IN_PROGRESS}))
    assert await found(store, narrowed) == [open_]
    other = Filter(search=parse_search("word"), agent="agt-00000000000000000000000001")
    assert await found(store, other) == []


async def test_the_index_of_words_holds_what_the_rows_hold(store: Store, clock: RealSleepClock) -> None:
    if store.is_shared:
        pytest.skip("PostgreSQL keeps its own index")
    for number in range(20):
        id_ = await accept(store, f"word{number}")
        if number % 3 == 0:
            await end(store, id_, Outcome(phase=Phase.COMPLETED, output="answer"))
        clock.move(0.000001 * (number % 2))
    async with store._database.writing() as writing:
        await writing.connection.execute(text("DELETE FROM executions WHERE message = 'word3'"))
    assert await found(store, search("word3")) == []
    async with store._database.writing() as writing:
        check = "INSERT INTO execution_texts (execution_texts, rank) VALUES ('integrity-check', 1)"
        await writing.connection.execute(text(check))
        left = await writing.connection.scalar(text("SELECT count(*) FROM execution_numbers"))
        assert left == 19


async def test_what_a_store_held_before_it_could_be_searched_is_found(url: str, clock: RealSleepClock) -> None:
    async with await open_store(url, clock=clock) as store:
        ids = [await accept(store, f"word {number}", env="prod") for number in range(5)]
        await end(store, ids[0], Outcome(phase=Phase.COMPLETED, output="answer"))
        async with store._database.writing() as writing:
            for statement in WITHOUT_SEARCH[store.kind]:
                await writing.connection.execute(text(statement))
    async with await open_store(url, clock=clock) as store:
        added = await accept(store, "word", env="prod")
        everything = sorted([added, *ids], reverse=True)  # all of one moment
        assert await found(store, search("answer")) == [ids[0]]
        assert await found(store, search("word")) == everything
        assert await found(store, labelled("env=prod")) == everything
        await end(store, ids[1], Outcome(phase=Phase.FAILED, error="broken"))
        assert await found(store, search("word broken")) == [ids[1]]


async def test_whatever_is_asked_for_together_is_found_from_whichever_index_is_read(
    store: Store, clock: RealSleepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, made = random.Random(11), []
    for number in range(24):
        clock.move(rng.choice((0, 0.000001, 1)))
        words = {word for word, share in (("often", 0.8), ("seldom", 0.1), ("half", 0.5)) if rng.random() < share}
        labels = {key for key, share in (("many", 0.8), ("few", 0.1), ("some", 0.5)) if rng.random() < share}
        id_ = await accept(store, f"{number} {' '.join(sorted(words))}", **dict.fromkeys(labels, ""))
        if rng.random() < 0.5:
            await store.executions.request_cancel(id_)
        made.append(await store.executions.get(id_))
    for _ in range(16):
        wanted = Filter(
            phases=frozenset(rng.sample((Phase.PENDING, Phase.CANCELLED, Phase.FAILED), rng.randint(0, 2))),
            labels=[parse_label_selector(key) for key in rng.sample(("many", "few", "some"), rng.randint(0, 2))],
            search=parse_search(rng.choice(("often", "seldom", "half often"))) if rng.random() < 0.6 else (),
            agent=rng.choice((None, made[0].agent_id)),
            since=rng.choice((None, made[8].created_at)),
        )
        expected = [one.id for one in made if _is_wanted(one, wanted)]
        expected.sort(key=lambda id_: next((one.created_at, one.id) for one in made if one.id == id_), reverse=True)
        assert await found(store, wanted, size=10) == expected
        with monkeypatch.context() as few:
            few.setattr(listing, "COUNTED_AMONG", 2)
            assert await store.executions.count(wanted, limit=1000) in (None, len(expected))


def _is_wanted(one: Execution, wanted: Filter) -> bool:
    return (
        (not wanted.phases or one.phase in wanted.phases)
        and {label.key for label in wanted.labels} <= one.labels.keys()
        and {term.text for term in wanted.search} <= set(one.message.split())
        and (wanted.since is None or one.created_at >= wanted.since)
    )
