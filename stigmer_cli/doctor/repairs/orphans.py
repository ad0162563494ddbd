"""Repairs executions that do not agree with Temporal: the server reconciles them."""

import asyncio
import os
from typing import TYPE_CHECKING

from stigmer_cli.doctor.facts.probes import load_module, token_of
from stigmer_cli.doctor.repairs.fix import ACT_MAX_S, ActResult, Fix, done, failed, left
from stigmer_cli.doctor.text import count
from stigmer_cli.errors import Conflict, StigmerError
from stigmer_cli.time_format import span

if TYPE_CHECKING:
    from stigmer_cli.api.reconcile import ReconcileSummary
    from stigmer_cli.doctor.check import Judged
    from stigmer_cli.doctor.facts.facts import Facts

RECONCILE_MAX_S = 60.0


async def bring_back(facts: "Facts", _: "Judged") -> ActResult:
    """Have the server reconcile; lost executions are only marked, never started over."""
    await load_module("stigmer_cli.client")
    from stigmer_cli.api.reconcile import (  # noqa: PLC0415 - loaded just now
        ReconcileProgress,
        ReconcileRequest,
        ReconcileSummary,
    )
    from stigmer_cli.client import Client  # noqa: PLC0415

    token, summary, progress = token_of(facts.settings), ReconcileSummary(), ReconcileProgress(examined=0, total=0)
    request = ReconcileRequest(asked_by=f"stigmer doctor --fix (pid {os.getpid()})")
    url, ca_file = (await facts.server()).url, facts.settings.server_ca_file
    try:
        is_told = facts.settings.is_insecure_allowed
        client = Client(url, lambda: token, ca_file=ca_file, is_insecure_allowed=is_told)
        async with asyncio.timeout(RECONCILE_MAX_S), client:
            async for found in client.reconcile(request):
                summary = found if isinstance(found, ReconcileSummary) else summary
                progress = found if isinstance(found, ReconcileProgress) else progress
    except TimeoutError:
        so_far = f"{progress.examined} of {count(progress.total, 'execution')} in {span(RECONCILE_MAX_S)}"
        return failed(f"{so_far}; `stigmer executions reconcile --yes` continues with the rest")
    except Conflict as error:
        return left(error.message)
    except StigmerError as error:
        return failed(error.message)
    return _result_of(summary)


def _result_of(summary: "ReconcileSummary") -> ActResult:
    words = [
        f"{number} {what}"
        for number, what in (
            (summary.resubmitted, "submitted again"),
            (summary.repaired, "brought up to date with Temporal"),
            (summary.attention, "marked for your decision"),
            (summary.failed, "failed"),
        )
        if number
    ]
    if not words:
        return left("reconcile found nothing left to repair")
    message = f"of {count(summary.examined, 'execution')}: {', '.join(words)}"
    return failed(message) if summary.failed else done(message)


BRING_BACK = Fix(
    action=(
        "submit orphans again, resume what was interrupted, and update rows that are behind, as `stigmer executions"
        " reconcile --yes` does"
    ),
    act=bring_back,
    act_max_s=RECONCILE_MAX_S + ACT_MAX_S,
)
