//! Which field manager last set the replicas.

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};

use crate::{
    apply::field_manager::{FIXED_REPLICAS, INITIAL_REPLICAS, OPERATOR},
    observed::foreign_status::owns_replicas,
};

/// The field manager that set `spec.replicas` of a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// The operator, when it created the Deployment.
    Creation,
    /// The operator, as initial replicas for an autoscaler.
    Initial,
    /// The operator, with `engine: None`.
    Fixed,
    /// A user of kubectl, with this field manager.
    Kubectl(&'a str),
    /// An autoscaler or another program, with this field manager. The field manager of HPAs is named after their
    /// controller's program, which differs between distributions of Kubernetes.
    Another(&'a str),
}

/// The field manager that last set the replicas, and when.
pub(super) fn owner(deployment: &Deployment) -> Option<(Owner<'_>, Timestamp)> {
    let (manager, time) = deployment
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| owns_replicas(entry))
        .filter_map(|entry| Some((entry.manager.as_deref()?, entry.time.as_ref()?.0)))
        .max_by_key(|(_, time)| *time)?;
    let owner = match manager {
        OPERATOR => Owner::Creation,
        INITIAL_REPLICAS => Owner::Initial,
        FIXED_REPLICAS => Owner::Fixed,
        kubectl if kubectl.starts_with("kubectl") => Owner::Kubectl(kubectl),
        another => Owner::Another(another),
    };
    Some((owner, time))
}
