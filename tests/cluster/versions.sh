# The versions that a cluster is made of, for both ways of making one. Sourced.
#
# What is built from Go modules takes its version from tests/cluster/offline/modules/*/go.mod; the
# images are named here because manifests and image builds must agree on them.
kubernetes_version=v1.36.3
keda_version=2.21.0
metrics_server_version=v0.9.0
prometheus_version=v3.16.0
prometheus_adapter_version=v0.12.0

keda_image=ghcr.io/kedacore/keda:$keda_version
keda_adapter_image=ghcr.io/kedacore/keda-metrics-apiserver:$keda_version
keda_webhooks_image=ghcr.io/kedacore/keda-admission-webhooks:$keda_version
metrics_server_image=registry.k8s.io/metrics-server/metrics-server:$metrics_server_version
prometheus_image=docker.io/prom/prometheus:$prometheus_version
prometheus_adapter_image=registry.k8s.io/prometheus-adapter/prometheus-adapter:$prometheus_adapter_version
base_image=springtide.local/base:debian12
