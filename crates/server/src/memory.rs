//! Memory of the process.

use std::fs;

/// Bytes of this process that are in memory; None where that can't be read.
#[must_use]
pub fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages = resident_pages(&statm)?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// Bytes by which [`resident`] has grown; 0 where it has shrunk.
#[must_use]
pub fn grown_since(before: Option<u64>) -> Option<u64> {
    Some(resident()?.saturating_sub(before?))
}

/// The second field of <https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html>.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_field_counts() {
        assert_eq!(resident_pages("2000 300 40 5 0 60 0\n"), Some(300));
        assert_eq!(resident_pages("2000"), None);
    }

    #[test]
    fn a_process_is_in_memory() {
        assert!(resident().is_some_and(|bytes| bytes > 0));
        assert!(grown_since(Some(u64::MAX)).is_some_and(|bytes| bytes == 0));
    }
}
