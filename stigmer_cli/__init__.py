"""Stigmer: a local stack that runs AI agents and workflows durably on Temporal, and says why when it cannot."""
