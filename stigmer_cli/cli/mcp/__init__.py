"""`stigmer mcp`: the tools that a coding agent calls over the Model Context Protocol."""
