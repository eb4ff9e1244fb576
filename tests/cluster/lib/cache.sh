# Where everything that outlives a checkout is kept: build products, node image, cluster state.
# Sourced. Sets $cache.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/springtide
mkdir -p "$cache"
