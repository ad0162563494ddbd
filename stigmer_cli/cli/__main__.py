"""`python -m stigmer_cli.cli`: the same as the console script, for when its folder is not on the PATH."""

from stigmer_cli.cli.entry import main

main()
