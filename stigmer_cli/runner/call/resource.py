"""External resources of a workflow: documents, schemas and scripts, at an address of http, https or file."""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from stigmer_cli.errors import reason_of
from stigmer_cli.redirects import describe_withheld
from stigmer_cli.runner.call.authenticator import Authenticator
from stigmer_cli.runner.call.following import send
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.yaml_json import Malformed, read_yaml

RESOURCE_BYTES_MAX = 16 * 1024 * 1024
FETCH_S_MAX = 120.0
PARSED_MAX = 8
"""How many documents are kept parsed: a loop calls the same few."""


class Resources:
    """Fetches resources. A document that has not changed since is not parsed again."""

    def __init__(self, client: httpx.AsyncClient, authenticator: Authenticator) -> None:
        self._client = client
        self._authenticator = authenticator
        self._parsed: OrderedDict[str, Mapping[str, Json]] = OrderedDict()

    async def fetch(self, address: str, policy: Policy | None) -> bytes:
        """What is at `address`. Raises WorkflowError, of the type communication where it cannot be had."""
        content, _ = await self._locate(address, policy)
        return content

    async def _locate(self, address: str, policy: Policy | None) -> tuple[bytes, str]:
        """The same, and where it was in the end: relative addresses in it begin there."""
        try:
            async with asyncio.timeout(FETCH_S_MAX):
                if address.startswith("file:"):
                    return await asyncio.to_thread(_read_file, address), address
                return await self._fetch(address, policy)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            detail = f"GET {address}: {str(error) or type(error).__name__}"
            raise make_error(ErrorType.COMMUNICATION, detail) from error
        except OSError as error:
            raise make_error(ErrorType.COMMUNICATION, f"{address} cannot be read: {reason_of(error)}") from error

    async def fetch_document(self, address: str, policy: Policy | None, what: str) -> Mapping[str, Json]:
        """The mapping at `address`, in JSON or YAML; `what` names it in an error. Raises WorkflowError."""
        document, _ = await self.locate_document(address, policy, what)
        return document

    async def locate_document(self, address: str, policy: Policy | None, what: str) -> tuple[Mapping[str, Json], str]:
        """The same, and the address at which it was in the end: redirects are followed."""
        content, place = await self._locate(address, policy)
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._parsed:
            self._parsed[digest] = await asyncio.to_thread(_parse, content, f"{address} is no {what}")
        self._parsed.move_to_end(digest)
        while len(self._parsed) > PARSED_MAX:
            self._parsed.popitem(last=False)
        return self._parsed[digest], place

    async def fetch_text(self, address: str, policy: Policy | None, what: str) -> str:
        """The text at `address`, in UTF-8; `what` names it in an error. Raises WorkflowError."""
        content = await self.fetch(address, policy)
        try:
            return content.decode("utf-8-sig")  # a mark of the order of bytes is no part of the text
        except UnicodeDecodeError as error:
            raise make_error(ErrorType.CONFIGURATION, f"{address} is no {what}: it is no text in UTF-8") from error

    async def _fetch(self, address: str, policy: Policy | None) -> tuple[bytes, str]:
        request = self._client.build_request("GET", address)
        auth = self._authenticator.make_auth(policy)
        response = await send(self._client, request, auth)
        try:
            if not response.is_success:
                raise _refuse(address, response)
            content = bytearray()
            async for part in response.aiter_bytes():
                content += part
                _check_length(len(content))
            return bytes(content), str(response.url) if response.history else address
        finally:
            await response.aclose()


def _refuse(address: str, response: httpx.Response) -> WorkflowError:
    phrase = response.reason_phrase or "Error"
    parts = (f"GET {address}: {response.status_code} {phrase}", describe_withheld(response.request))
    detail = ": ".join(filter(None, parts))
    return make_error(ErrorType.COMMUNICATION, detail, status=response.status_code, title=phrase)


def _check_length(length: int) -> None:
    if length > RESOURCE_BYTES_MAX:
        raise ValueError(f"longer than {RESOURCE_BYTES_MAX:,} bytes")


def _read_file(address: str) -> bytes:
    """`file:///etc/a.yaml`, or `file://folder/a.yaml`, which begins at the folder that the runner was started in."""
    parts = urlsplit(address)
    path = Path(unquote(f"{parts.netloc}{parts.path}"))
    with path.open("rb") as file:
        content = file.read(RESOURCE_BYTES_MAX + 1)
    _check_length(len(content))
    return content


def _parse(content: bytes, wrong: str) -> Mapping[str, Json]:
    """Raises WorkflowError, which begins with `wrong`."""
    try:
        found: Json = json.loads(content)
    except RecursionError as error:
        raise make_error(ErrorType.CONFIGURATION, f"{wrong}: it is nested too deep") from error
    except ValueError:
        try:
            found = next(read_yaml(content.decode())).data
        except (Malformed, StopIteration, ValueError) as error:
            raise make_error(ErrorType.CONFIGURATION, f"{wrong}: {error}") from error
    if not isinstance(found, dict):
        raise make_error(ErrorType.CONFIGURATION, wrong)
    return found
