"""The Temporal worker process: takes up runs, performs them with a model, and reports every step to the server."""
