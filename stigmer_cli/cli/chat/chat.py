"""`stigmer chat`: reads messages, sends each as an execution of one session, and shows the answers."""

import re
import shlex

from ulid import ULID

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import MESSAGE_MAX, AgentResource, ExecutionRequest, ExecutionResource
from stigmer_cli.cli.chat.history import ChatHistory
from stigmer_cli.cli.chat.prompt import PROMPT, Interrupted, Messages, StdinLines, TerminalPrompt
from stigmer_cli.cli.chat.slash import Slash, UnknownSlash, describe_commands, parse_slash
from stigmer_cli.cli.chat.turn import Turn
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.create import Creation, make_creation
from stigmer_cli.cli.executions.limits import describe_way_on
from stigmer_cli.cli.line_editor import can_edit
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.question import require_input
from stigmer_cli.client import Client
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.session import NAME_MAX
from stigmer_cli.domain.stuck import CANCEL
from stigmer_cli.errors import Conflict, NotFound, StigmerError

SUFFIX_CHARS = 8
"""Of the name of a new session: the end of a ULID, which is random."""


def run_chat(cli: Cli, agent: str, session: str | None) -> int:
    """Talk with `agent` until the end of what is typed; returns the exit code.

    At a terminal that is 0. Without one it is 1 if a message has no answer. Raises NotFound for an unknown agent,
    Conflict for a session with another agent, and, without a terminal, what keeps a message from being accepted.
    """
    return cli.run(_run(cli, agent, session))


async def _run(cli: Cli, agent: str, session: str | None) -> int:
    async with cli.client() as client:
        found = await _find_agent(client, agent)
        slug = found.metadata.slug
        chat = Chat(cli, client, found, session or _name_session(slug), _open_messages(cli, slug))
        try:
            await chat.begin(is_named=session is not None)
            await chat.talk()
        finally:
            chat.tell_how_to_go_on()
    return chat.exit_code


async def _find_agent(client: Client, agent: str) -> AgentResource:
    try:
        return await client.agent(agent)
    except NotFound as error:
        raise NotFound(error.message, hint="stigmer agents list; stigmer apply -f FILE creates one") from error


def _open_messages(cli: Cli, agent: str) -> Messages:
    if not cli.can_ask:
        require_input(cli, "messages", hint=f"stigmer chat {shlex.quote(agent)} < FILE")
        return StdinLines()
    if not can_edit(cli):
        return StdinLines(lambda: cli.out.stderr.print(PROMPT, end="", highlight=False))
    return TerminalPrompt(ChatHistory(cli.home.path), words=list(Slash))


def _name_session(slug: str) -> str:
    """A name that no other session has: that of the agent, and something random."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", slug).strip("._-")[: NAME_MAX - SUFFIX_CHARS - 1] or "chat"
    return f"{stem}-{str(ULID()).lower()[-SUFFIX_CHARS:]}"


class Chat:
    """One conversation, as long as somebody says something."""

    def __init__(self, cli: Cli, client: Client, agent: AgentResource, session: str, messages: Messages) -> None:
        self._cli = cli
        self._client = client
        self._agent = agent.metadata.slug
        self._model = agent.spec.model
        self._session = session
        self._messages = messages
        self._unanswered: Creation | str | None = None
        """The last message if it has no answer: as it was sent, if nothing says that it arrived, else its text."""
        self._draft = ""
        self._is_begun = False
        self.exit_code = 0

    async def begin(self, *, is_named: bool) -> None:
        """Say what this is, and follow the execution that an earlier chat has left; raises Conflict."""
        known = await self._count_messages() if is_named else 0
        self._is_begun = known > 0
        if self._messages.is_terminal:
            goes_on = f"goes on after {known:,} message{'' if known == 1 else 's'}" if known else "is new"
            self._cli.out.note(f"{self._agent} ({self._model}): session {self._session} {goes_on}")
            self._cli.out.note("/help shows commands and keys; Ctrl-D ends the chat")
        if known:
            await self._follow_last()

    async def _count_messages(self) -> int:
        try:
            found = await self._client.session(self._session)
        except NotFound:
            return 0
        if found.agent_name != self._agent:
            raise Conflict(
                f"session {self._session} is a conversation with the agent {found.agent_name}, and not with"
                f" {self._agent}",
                hint=f"stigmer chat {found.agent_name} --session {self._session}",
            )
        return found.executions

    async def _follow_last(self) -> None:
        page = await self._client.executions(Query(session=self._session, limit=1))
        last = page.items[0] if page.items else None
        if last is None or not self._messages.is_terminal:
            return
        self._show_question(last)
        if last.status.phase.is_terminal:
            self._show_end(last, has_answer=False)
            if last.status.answer:
                self._cli.out.raw(strip_control_sequences(last.status.answer) + "\n")
            return
        ended = await Turn(self._cli, self._client, last.metadata.id).resume()
        if isinstance(ended, StigmerError):  # it was sent before: at the prompt, Enter would ask it a second time
            self._cli.out.error(ended)
            return
        self._conclude(ended, last.spec.message)

    def _show_question(self, last: ExecutionResource) -> None:
        self._cli.out.note(f"> {last.spec.message}")

    async def talk(self) -> None:
        """Send message after message until there is none, or the person leaves."""
        interrupts = 0
        while True:
            try:
                text = await self._messages.read(self._draft)
            except Interrupted:
                interrupts += 1
                if interrupts > 1:
                    return
                self._cli.out.note("Ctrl-C again, or Ctrl-D, ends the chat")
                continue
            interrupts, self._draft = 0, ""
            if text is None or await self._act(text):
                return

    async def _act(self, text: str) -> bool:
        """Do what was typed; whether the chat ends with that."""
        command = parse_slash(text) if self._messages.is_terminal else None
        match command:
            case Slash.QUIT:
                return True
            case Slash.HELP:
                self._cli.out.note(describe_commands())
            case Slash.SESSION:
                self._cli.out.note(f"session {self._session} with {self._agent}; to go on with it later:")
                self._cli.out.hint(self._command)
            case Slash.RETRY:
                await self._retry()
            case UnknownSlash(word=word):
                self._cli.out.note(f"{word} is no command; /help shows them all. Put a space before it to send it")
            case None:
                await self._send(text)
        return False

    async def _retry(self) -> None:
        match self._unanswered:
            case None:
                self._cli.out.note("there is no message without an answer")
            case Creation() as wanted:
                await self._ask(wanted)
            case str(text):
                await self._ask(self._make(text))

    async def _send(self, text: str) -> None:
        if not text.strip():
            return
        if len(text) > MESSAGE_MAX:
            self._cli.out.note(f"the message is longer than {MESSAGE_MAX:,} characters")
            return
        before = self._unanswered
        is_same = isinstance(before, Creation) and before.request.message == text
        await self._ask(before if isinstance(before, Creation) and is_same else self._make(text))

    def _make(self, text: str) -> Creation:
        request = ExecutionRequest(agent=self._agent, message=text, session=self._session)
        return make_creation(request, key=None, require_temporal=False)

    async def _ask(self, wanted: Creation) -> None:
        self._unanswered = wanted
        ended = await Turn(self._cli, self._client, wanted.id).send(wanted)
        if isinstance(ended, StigmerError) and not self._messages.is_terminal:
            raise ended
        self._conclude(ended, wanted.request.message)

    def _conclude(self, ended: ExecutionResource | StigmerError | None, message: str) -> None:
        match ended:
            case ExecutionResource():
                self._is_begun = True
                self._unanswered = None if ended.status.phase is Phase.COMPLETED else message
                self._show_end(ended)
            case StigmerError():
                self._cli.out.error(ended)
                self._draft = message  # Enter sends it again, and no second time if it had arrived
            case None:
                self._is_begun = True
        if self._unanswered is not None:
            self.exit_code = 0 if self._messages.is_terminal else 1

    def _show_end(self, ended: ExecutionResource, *, has_answer: bool = True) -> None:
        status = ended.status
        if status.phase is Phase.FAILED:
            why = f"{status.phase}: {status.error_text}; /retry sends it again"
            self._cli.out.note(why if has_answer else "FAILED")
        elif status.phase is Phase.CANCELLED:
            self._cli.out.note("cancelled")
        elif status.waiting is not None:
            self._cli.out.note(f"paused: {status.waiting.cause}; your next message waits until it has ended")
            self._cli.out.hint(f"{describe_way_on(ended.metadata.id, status.waiting)}, or {CANCEL} {ended.metadata.id}")

    @property
    def _command(self) -> str:
        return f"stigmer chat {shlex.quote(self._agent)} --session {self._session}"

    def tell_how_to_go_on(self) -> None:
        """Print what goes on with this session later, if anything was said in it."""
        if self._is_begun:
            self._cli.out.note(f"to go on: {self._command}")
