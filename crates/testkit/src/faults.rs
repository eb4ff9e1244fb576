//! What can go wrong, and what has been called.

use std::{collections::BTreeMap, time::Duration};

use http::Method;

/// How one call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this HTTP status; nothing is done.
    Status(u16),
    /// The connection fails before the request arrives; nothing is done.
    Refused,
    /// The request is carried out, but its answer is lost.
    LostAnswer,
    /// The request is carried out, and its answer takes this long.
    Delay(Duration),
    /// The request is carried out and never answered: what a process sees that dies, or waits, here.
    Stall,
}

/// A call as it arrived. Watches are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Path without the query.
    pub path: String,
    /// Query, empty where there is none.
    pub query: String,
}

impl Call {
    /// Whether it could change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

/// Calls so far, and the faults that wait for later ones.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: Vec<Call>,
    planned: BTreeMap<usize, Fault>,
}

impl Ledger {
    /// Notes a call and says how it goes wrong, if it does.
    pub(crate) fn note(&mut self, call: Call) -> Option<Fault> {
        self.calls.push(call);
        self.planned.remove(&self.calls.len())
    }

    /// Plans a fault for the `nth` call from now; the next one is 1.
    pub(crate) fn plan(&mut self, nth: usize, fault: Fault) {
        self.planned.insert(self.calls.len() + nth, fault);
    }

    /// Forgets faults that have not happened.
    pub(crate) fn clear_plan(&mut self) {
        self.planned.clear();
    }

    /// The calls since the last time, which are forgotten with this.
    pub(crate) fn take(&mut self) -> Vec<Call> {
        let shifted = std::mem::take(&mut self.planned);
        let count = self.calls.len();
        self.planned = shifted
            .into_iter()
            .map(|(nth, fault)| (nth - count, fault))
            .collect();
        std::mem::take(&mut self.calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            method: Method::GET,
            path: "/api/v1/pods".to_owned(),
            query: String::new(),
        }
    }

    #[test]
    fn a_fault_meets_the_call_it_is_planned_for_and_no_other() {
        let mut ledger = Ledger::default();
        ledger.note(call());
        ledger.plan(3, Fault::Refused);
        assert_eq!(ledger.note(call()), None);
        assert_eq!(ledger.take().len(), 2);
        assert_eq!(ledger.note(call()), None);
        assert_eq!(ledger.note(call()), Some(Fault::Refused));
        assert_eq!(ledger.note(call()), None);
    }
}
