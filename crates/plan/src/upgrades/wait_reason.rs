//! Why an upgrade waits.

/// What an upgrade waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason<K> {
    /// The upgrades of others: a slot.
    Turn,
    /// Unavailable pods of the ModelService.
    Unavailable,
    /// The Deployment, which is paused.
    Paused,
    /// The failed upgrade of another ModelService.
    Failure(K),
}
