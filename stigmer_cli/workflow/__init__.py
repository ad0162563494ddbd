"""The Open Workflow DSL: documents and their checks, expressions, the interpreter. No HTTP, no store, no Temporal."""
