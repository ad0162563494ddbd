"""Servers of tools that speak the Model Context Protocol: starting them, listing and calling their tools."""
