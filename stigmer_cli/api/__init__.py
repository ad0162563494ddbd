"""The HTTP contract that both ends import: resources, problems, health, reports."""
