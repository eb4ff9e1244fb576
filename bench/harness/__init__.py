"""The parts of the benchmark. They need the standard library only."""
