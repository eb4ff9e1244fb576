//! How many connections the operating system lets the process have.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are kept for everything else: listeners, models while they are loaded, the
/// runtime's own.
const OTHERS: u64 = 256;

/// Raises the process's soft limit of open files as far as so many connections need it and the hard
/// limit allows it.
///
/// Returns how many connections there is room for, at most those that were asked for.
#[must_use]
pub fn raise_open_files_limit(connections: NonZeroUsize) -> NonZeroUsize {
    let limit = getrlimit(Resource::Nofile);
    let raised = raised(limit, connections);
    if raised.current != limit.current
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    let room = room(getrlimit(Resource::Nofile), connections);
    if room < connections {
        tracing::warn!(
            asked = connections,
            connections = room,
            "the limit of open files allows fewer connections"
        );
    }
    room
}

/// The limit to be set; none means without bounds.
fn raised(limit: Rlimit, connections: NonZeroUsize) -> Rlimit {
    let connections = u64::try_from(connections.get()).unwrap_or(u64::MAX);
    let needed = connections.saturating_add(OTHERS);
    let allowed = limit.maximum.map_or(needed, |hard| hard.min(needed));
    Rlimit {
        current: limit.current.map(|soft| soft.max(allowed)),
        ..limit
    }
}

/// How many of the connections a limit has room for; one at least, or there would be no server.
fn room(limit: Rlimit, connections: NonZeroUsize) -> NonZeroUsize {
    let room = limit.current.map_or(usize::MAX, |soft| {
        usize::try_from(soft.saturating_sub(OTHERS)).unwrap_or(usize::MAX)
    });
    NonZeroUsize::new(room.min(connections.get())).unwrap_or(NonZeroUsize::MIN)
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
        for (before, after, room_after) in [
            // What container runtimes give: few, of many that are allowed.
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
            assert_eq!(room(raised, connections).get(), room_after, "{before:?}");
        }
    }
}
