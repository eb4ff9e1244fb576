"""The benchmark's parts, standard library only."""
