//! Faults of calls, and the log of calls.

use std::{collections::BTreeMap, time::Duration};

use http::Method;

/// Fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The response has this HTTP status, and the request is not executed.
    Status(u16),
    /// The connection fails before the request arrives. It is not executed.
    Refused,
    /// The request is executed, and the response is lost.
    LostAnswer,
    /// The request is executed, and the response is delayed by this time.
    Delay(Duration),
    /// The request is executed, and there is no response, as if the client crashes or waits.
    Stall,
}

/// A received request that is not a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Path without the query.
    pub path: String,
    /// Query. Empty if there is none.
    pub query: String,
}

impl Call {
    /// Whether its method can change objects.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }
}

/// The log of calls, and the faults of later ones.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: Vec<Call>,
    planned: BTreeMap<usize, Fault>,
}

impl Ledger {
    /// Records a call, and returns its fault, if any.
    pub(crate) fn note(&mut self, call: Call) -> Option<Fault> {
        self.calls.push(call);
        self.planned.remove(&self.calls.len())
    }

    /// Plans a fault for the `nth` call from now; the next one is 1.
    pub(crate) fn plan(&mut self, nth: usize, fault: Fault) {
        self.planned.insert(self.calls.len() + nth, fault);
    }

    /// Removes the faults of later calls.
    pub(crate) fn clear_plan(&mut self) {
        self.planned.clear();
    }

    /// Removes and returns the recorded calls.
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
    fn a_fault_affects_only_its_call() {
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
