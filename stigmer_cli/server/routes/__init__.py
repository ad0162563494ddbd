"""The routes, one module a noun: parse, one call, answer."""
