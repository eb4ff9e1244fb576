//! Pod Security Standard "restricted", with a read-only root filesystem
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).

use k8s_openapi::api::core::v1::{
    Capabilities, PodSecurityContext, SeccompProfile, SecurityContext as ContainerSecurityContext,
};
use springtide_api::pod::SecurityContext;

use crate::observed::{Observed, Platform};

/// User and group of distroless' `nonroot` images. It is also the group of volumes, so that the server can read claims
/// and write the model.
const NON_ROOT: i64 = 65_532;

/// What assigns the pods' user and group.
fn chosen_by(asked: Option<SecurityContext>, observed: &Observed) -> SecurityContext {
    let found = match observed.capabilities.platform {
        Platform::Kubernetes => SecurityContext::Default,
        Platform::OpenShift => SecurityContext::Platform,
        // Present pods aren't replaced before the platform is known.
        Platform::Unknown => live(observed),
    };
    asked.unwrap_or(found)
}

/// What the present Deployment leaves to the platform.
fn live(observed: &Observed) -> SecurityContext {
    let deployment = observed.deployment.as_ref();
    let pod = deployment
        .and_then(|deployment| deployment.spec.as_ref()?.template.spec.as_ref())
        .and_then(|pod| pod.security_context.as_ref());
    match pod {
        Some(security) if security.run_as_user.is_none() => SecurityContext::Platform,
        Some(_) | None => SecurityContext::Default,
    }
}

pub(super) fn pod(asked: Option<SecurityContext>, observed: &Observed) -> PodSecurityContext {
    let user = match chosen_by(asked, observed) {
        SecurityContext::Default => Some(NON_ROOT),
        // Security context constraints assign a user and a group to each namespace, and reject others
        // (<https://docs.redhat.com/en/documentation/openshift_container_platform/4.19/html/authentication_and_authorization/managing-pod-security-policies>).
        SecurityContext::Platform => None,
    };
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: user,
        fs_group: user,
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

pub(super) fn container() -> ContainerSecurityContext {
    ContainerSecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        read_only_root_filesystem: Some(true),
        ..ContainerSecurityContext::default()
    }
}
