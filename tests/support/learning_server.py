"""A server of tools over HTTP that has another tool after each call of `learn`, and says so to who listens.

python learning_server.py PORT
"""

import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("learning")


@server.tool()
async def learn(name: str, context: Context) -> str:
    server.add_tool(lambda: "known", name=name)
    await context.notify_tools_changed()
    return f"learned {name}"


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
