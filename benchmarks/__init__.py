"""How fast the package is beside others that do the same work: `python -m benchmarks NAME`, or `make bench` for all."""
