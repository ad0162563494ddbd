"""Bringing rows and Temporal back in line: observe, plan, apply."""
