"""Completion of words in bash, zsh and fish: the scripts, their installation, and the values that they ask for."""
