//! Who has set the number of pods last, as the API server noted it.

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};

use crate::{
    apply::field_manager::{FIXED_REPLICAS, INITIAL_REPLICAS, OPERATOR},
    observed::foreign_status::owns_replicas,
};

/// Who has set `spec.replicas` of a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// The operator, as it created the Deployment.
    Creation,
    /// The operator, for an autoscaler to begin with.
    Initial,
    /// The operator, with `engine: None`.
    Fixed,
    /// Somebody at a terminal, by this field manager.
    Kubectl(&'a str),
    /// An autoscaler or another program, by this field manager. An HPA's is named after the program
    /// that its controller runs in, which is another one in each distribution of Kubernetes.
    Another(&'a str),
}

/// Who has set the number of pods last, and when.
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
