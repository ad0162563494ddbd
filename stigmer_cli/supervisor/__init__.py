"""Keeps any set of processes running, detached from a terminal; knows nothing of Stigmer."""
