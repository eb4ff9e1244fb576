# Which way a cluster is made here. Sourced. Sets $way to
#   stock     the machine's own Docker engine, kind's public node image and public images
#   offline   an engine, a node image and images that are made here, where the first can't be had
# SPRINGTIDE_CLUSTER=stock|offline overrides the choice.

image_can_be_pulled() {
  docker version >/dev/null 2>&1 || return 1
  docker image inspect "$1" >/dev/null 2>&1 || timeout 60 docker pull --quiet "$1" >/dev/null 2>&1
}

case ${SPRINGTIDE_CLUSTER:-} in
  stock | offline) way=$SPRINGTIDE_CLUSTER ;;
  "")
    if image_can_be_pulled registry.k8s.io/pause:3.10; then way=stock; else way=offline; fi
    ;;
  *) die "SPRINGTIDE_CLUSTER is '$SPRINGTIDE_CLUSTER'; it can be 'stock' or 'offline'" ;;
esac
