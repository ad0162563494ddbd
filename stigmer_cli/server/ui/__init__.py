"""Temporal's web UI as this server shows it: behind a one-time link, a cookie, and a proxy that lets little through."""
