"""What an execution begins with beside its message: what it goes on from, the limits it was given, its session."""

from stigmer_cli.store.agent_versions import pin_with_limits
from stigmer_cli.store.conversations import copy_conversation
from stigmer_cli.store.database import Writing
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.forking import copy_journal
from stigmer_cli.store.session_order import join_session


async def add_beginnings(writing: Writing, draft: ExecutionDraft) -> bool:
    """Write what `draft` asks for, and return whether it asks for any; raises what `copy_journal` and the others do."""
    if draft.fork is not None:
        await copy_journal(writing, draft.fork, draft.id)
    if draft.conversation_of is not None:
        await copy_conversation(writing, draft.conversation_of, draft.id)
    if draft.limits:
        await pin_with_limits(writing, draft.id, draft.limits)
    if draft.session is not None:
        await join_session(writing, draft, draft.session)
    return bool(draft.fork or draft.conversation_of or draft.limits or draft.session)
