//! Why an upgrade isn't made yet.

/// What an upgrade waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason<K> {
    /// Its turn.
    Turn,
    /// Pods of the ModelService.
    Unavailable,
    /// The Deployment is paused.
    Paused,
    /// The upgrade of another one has failed.
    Failure(K),
}
