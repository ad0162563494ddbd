"""What doctor repairs with --fix: no repair ends a process, deletes data or decides what a person should."""
