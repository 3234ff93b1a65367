"""`python -m benchmarks` runs every measurement."""

from benchmarks.bench import main

main()
