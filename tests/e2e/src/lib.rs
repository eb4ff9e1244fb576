//! Common code of the end-to-end tests in `tests/suite` and `tests/control_plane`: a cluster under test, a namespace
//! per test, bounded waits with clear errors, and load.
//!
//! The cluster is that of `KUBECONFIG`. It must have the operator, KEDA, metrics-server, Prometheus and
//! prometheus-adapter, with the names in `tests/cluster/addons`; some tests stop one of them for a while. `make e2e`
//! creates such a cluster and runs the suite. Tests that need no pods are in `tests/control_plane`: `make
//! control-plane-test` starts an API server and the operator alone.
//!
//! | environment variable | what for | default |
//! |---|---|---|
//! | `KUBECONFIG` | the cluster under test | none: without it every test fails |
//! | `KUBECTL` | the client for `apply -k` | `kubectl` |
//! | `SPRINGTIDE_E2E_NODE_ADDRESS` | where node ports answer | the first node's `InternalIP` |
//! | `SPRINGTIDE_E2E_OPERATOR_NAMESPACE` | where the operator runs | `springtide-system` |
//! | `SPRINGTIDE_E2E_KEEP` | `1` keeps the namespaces of failed tests | deleted |

pub mod addon;
pub mod cluster;
pub mod contract;
pub mod diagnosis;
pub mod example;
pub mod history;
pub mod json;
pub mod kind;
pub mod load;
pub mod operator_process;
pub mod predict;
pub mod readings;
pub mod report;
pub mod testbed;
pub mod wait;
pub mod website;
