"""How a process is named."""

import subprocess
import sys

import pytest

TAGS = """
import hashlib

def refuse(*_, **__):
    raise {error}

if "{error}" == "None":
    del hashlib.blake2s
else:
    hashlib.blake2s = refuse

from stigmer_cli.supervisor.process import ProcessId

one, other = ProcessId(pid=13, mark="boot:1"), ProcessId(pid=13, mark="boot:2")
print(len(one.tag), one.tag == one.tag, one.tag == other.tag)
"""


@pytest.mark.parametrize("error", ["ValueError", "TypeError", "None"])
def test_a_tag_needs_no_algorithm_that_a_machine_may_forbid(error: str) -> None:
    code = TAGS.format(error=error)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("8 True False\n", "")
