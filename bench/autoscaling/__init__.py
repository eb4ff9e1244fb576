"""The benchmark of the autoscaling on the kind cluster: Springtide and the reference under real load. See
../README.md."""
