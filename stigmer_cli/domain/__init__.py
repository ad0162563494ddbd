"""What an execution is and how it may move: values and tables, no I/O, no third party."""
