//! The limit of open files, which bounds the connections of the process.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that are reserved for everything but connections: listeners, models while they are loaded,
/// and the runtime.
const RESERVED: u64 = 256;

/// Raises the soft limit of open files (`RLIMIT_NOFILE`) as far as the connections need it and the hard limit
/// allows it.
///
/// Gives the connections that the limit allows, at most the requested ones. Failures are logged.
#[must_use]
pub fn raise_open_files_limit(connections: NonZeroUsize) -> NonZeroUsize {
    let limit = getrlimit(Resource::Nofile);
    let raised = raised(limit, connections);
    if raised.current != limit.current
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
    let allowed = allowed(getrlimit(Resource::Nofile), connections);
    if allowed < connections {
        tracing::warn!(
            asked = connections,
            connections = allowed,
            "the limit of open files allows fewer connections"
        );
    }
    allowed
}

/// The limit to be set. None: there is no limit.
fn raised(limit: Rlimit, connections: NonZeroUsize) -> Rlimit {
    let connections = u64::try_from(connections.get()).unwrap_or(u64::MAX);
    let needed = connections.saturating_add(RESERVED);
    let allowed = limit.maximum.map_or(needed, |hard| hard.min(needed));
    Rlimit {
        current: limit.current.map(|soft| soft.max(allowed)),
        ..limit
    }
}

/// The connections that a limit allows, at least one.
fn allowed(limit: Rlimit, connections: NonZeroUsize) -> NonZeroUsize {
    let allowed = limit.current.map_or(usize::MAX, |soft| {
        usize::try_from(soft.saturating_sub(RESERVED)).unwrap_or(usize::MAX)
    });
    NonZeroUsize::new(allowed.min(connections.get())).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limit(current: Option<u64>, maximum: Option<u64>) -> Rlimit {
        Rlimit { current, maximum }
    }

    #[test]
    fn limits_are_raised_as_far_as_needed_and_allowed() {
        let connections = NonZeroUsize::new(4_096).unwrap();
        for (before, after, allowed_after) in [
            // As container runtimes set it: a low soft limit and a high hard limit.
            (limit(Some(1_024), Some(524_288)), Some(4_352), 4_096),
            (limit(Some(1_024), None), Some(4_352), 4_096),
            (limit(Some(1_024), Some(2_048)), Some(2_048), 1_792),
            (
                limit(Some(1_048_576), Some(1_048_576)),
                Some(1_048_576),
                4_096,
            ),
            (limit(None, None), None, 4_096),
            (limit(Some(64), Some(64)), Some(64), 1),
        ] {
            let raised = raised(before, connections);
            assert_eq!(raised, limit(after, before.maximum), "{before:?}");
            assert_eq!(
                allowed(raised, connections).get(),
                allowed_after,
                "{before:?}"
            );
        }
    }
}
