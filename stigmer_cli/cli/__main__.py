"""`python -m stigmer_cli.cli`: the same as the console script, also where its folder is not on the PATH."""

from stigmer_cli.cli.entry import main

main()
