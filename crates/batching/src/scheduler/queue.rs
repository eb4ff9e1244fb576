//! The queued requests, in lanes: one per signature, and one per half of a failed batch. Only requests of the same
//! lane may share a batch. Each operation takes logarithmic time in the number of queued requests, whatever the number
//! of lanes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Instant;

use slab::Slab;

use super::entry::{Entry, Ticket};

/// Identifies a lane while it has requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaneId(usize);

/// The limit of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Rows(NonZeroUsize),
    OneRequest,
}

#[derive(Debug, Default)]
struct Lane {
    tickets: BTreeSet<Ticket>,
    rows: usize,
    /// Whether it holds a half of a failed batch, which isn't delayed.
    half: bool,
}

/// Summary of a lane for the indexes of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LaneSummary {
    oldest: Option<Ticket>,
    complete: bool,
    batches: usize,
}

impl Lane {
    fn summary(&self, bound: Bound) -> LaneSummary {
        let (complete, batches) = match bound {
            // At this number of rows the next batch is full, or the next request doesn't fit.
            Bound::Rows(max) => (
                self.half || self.rows >= max.get(),
                self.rows.div_ceil(max.get()),
            ),
            Bound::OneRequest => (true, self.tickets.len()),
        };
        LaneSummary {
            oldest: self.tickets.first().copied(),
            complete,
            batches,
        }
    }
}

#[derive(Debug)]
struct Waiting<K, T> {
    entry: Entry<K, T>,
    lane: usize,
}

/// The queued requests.
#[derive(Debug)]
pub(super) struct Queue<K, T> {
    bound: Bound,
    waiting: BTreeMap<Ticket, Waiting<K, T>>,
    deadlines: BTreeSet<(Instant, Ticket)>,
    lanes: Slab<Lane>,
    by_signature: HashMap<K, usize>,
    /// Lanes by their oldest request.
    oldest: BTreeMap<Ticket, usize>,
    /// Lanes whose next batch can't grow, by their oldest request.
    complete: BTreeMap<Ticket, usize>,
    rows: usize,
    batches: usize,
}

impl<K: Clone + Eq + Hash, T> Queue<K, T> {
    pub(super) fn new(max_rows: NonZeroUsize) -> Self {
        Self {
            bound: Bound::Rows(max_rows),
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            lanes: Slab::new(),
            by_signature: HashMap::new(),
            oldest: BTreeMap::new(),
            complete: BTreeMap::new(),
            rows: 0,
            batches: 0,
        }
    }

    /// From now on each batch is one request.
    pub(super) fn part(&mut self) {
        self.bound = Bound::OneRequest;
        self.complete.clone_from(&self.oldest);
        self.batches = self.waiting.len();
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of batches that the queued requests form.
    pub(super) const fn batches(&self) -> usize {
        self.batches
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The lane of the oldest request, and its arrival.
    pub(super) fn oldest(&self) -> Option<(LaneId, Instant)> {
        let (ticket, lane) = self.oldest.first_key_value()?;
        Some((LaneId(*lane), self.waiting.get(ticket)?.entry.arrived))
    }

    /// The lane with the oldest request, of those whose next batch can't grow.
    pub(super) fn oldest_complete(&self) -> Option<LaneId> {
        self.complete
            .first_key_value()
            .map(|(_, lane)| LaneId(*lane))
    }

    /// The only lane, if there is only one.
    pub(super) fn only_lane(&self) -> Option<LaneId> {
        let (_, lane) = self.oldest.first_key_value()?;
        (self.oldest.len() == 1).then_some(LaneId(*lane))
    }

    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn lane_rows(&self, lane: LaneId) -> usize {
        self.lanes.get(lane.0).map_or(0, |lane| lane.rows)
    }

    /// Queued rows of a signature.
    pub(super) fn signature_rows(&self, signature: &K) -> usize {
        let lane = self.by_signature.get(signature);
        lane.map_or(0, |lane| self.lane_rows(LaneId(*lane)))
    }

    /// The requests of a lane, oldest first.
    pub(super) fn lane(&self, lane: LaneId) -> impl Iterator<Item = &Entry<K, T>> {
        let tickets = self
            .lanes
            .get(lane.0)
            .into_iter()
            .flat_map(|lane| &lane.tickets);
        tickets.filter_map(|ticket| Some(&self.waiting.get(ticket)?.entry))
    }

    pub(super) fn push(&mut self, entry: Entry<K, T>) {
        let lane = match self.by_signature.get(&entry.signature) {
            Some(lane) => *lane,
            None => {
                let lane = self.lanes.insert(Lane::default());
                self.by_signature.insert(entry.signature.clone(), lane);
                lane
            }
        };
        self.add(lane, [entry]);
    }

    /// Queues requests that share a batch with no others, and aren't delayed.
    pub(super) fn push_half(&mut self, entries: impl IntoIterator<Item = Entry<K, T>>) {
        let lane = self.lanes.insert(Lane {
            half: true,
            ..Lane::default()
        });
        self.add(lane, entries);
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Entry<K, T>> {
        let lane = self.waiting.get(&ticket)?.lane;
        self.take(LaneId(lane), &[ticket]).pop()
    }

    /// Removes requests from a lane.
    pub(super) fn take(&mut self, lane: LaneId, tickets: &[Ticket]) -> Vec<Entry<K, T>> {
        let LaneId(id) = lane;
        let Some(lane) = self.lanes.get_mut(id) else {
            return Vec::new();
        };
        let before = lane.summary(self.bound);
        let mut taken = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            if lane.tickets.remove(ticket)
                && let Some(Waiting { entry, .. }) = self.waiting.remove(ticket)
            {
                lane.rows -= entry.rows();
                self.rows -= entry.rows();
                self.deadlines.remove(&(entry.deadline, *ticket));
                taken.push(entry);
            }
        }
        let after = lane.summary(self.bound);
        if after.oldest.is_none() {
            let half = lane.half;
            self.lanes.remove(id);
            if let Some(last) = taken.last()
                && !half
            {
                self.by_signature.remove(&last.signature);
            }
        }
        self.note(id, before, after);
        taken
    }

    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Entry<K, T>> {
        let mut expired = Vec::new();
        while let Some(&(deadline, ticket)) = self.deadlines.first()
            && deadline <= now
        {
            let Some(entry) = self.remove(ticket) else {
                break;
            };
            expired.push(entry);
        }
        expired
    }

    pub(super) fn take_all(&mut self) -> Vec<Entry<K, T>> {
        let mut empty = Self::new(NonZeroUsize::MIN);
        empty.bound = self.bound;
        let all = std::mem::replace(self, empty);
        all.waiting
            .into_values()
            .map(|waiting| waiting.entry)
            .collect()
    }

    fn add(&mut self, id: usize, entries: impl IntoIterator<Item = Entry<K, T>>) {
        let Some(lane) = self.lanes.get_mut(id) else {
            return;
        };
        let before = lane.summary(self.bound);
        for entry in entries {
            lane.tickets.insert(entry.ticket);
            lane.rows += entry.rows();
            self.rows += entry.rows();
            self.deadlines.insert((entry.deadline, entry.ticket));
            self.waiting
                .insert(entry.ticket, Waiting { entry, lane: id });
        }
        let after = lane.summary(self.bound);
        self.note(id, before, after);
    }

    /// Updates the indexes of the queue after a change of a lane.
    fn note(&mut self, lane: usize, before: LaneSummary, after: LaneSummary) {
        self.batches = self.batches - before.batches + after.batches;
        if (before.oldest, before.complete) == (after.oldest, after.complete) {
            return;
        }
        if let Some(ticket) = before.oldest {
            self.oldest.remove(&ticket);
            self.complete.remove(&ticket);
        }
        if let Some(ticket) = after.oldest {
            self.oldest.insert(ticket, lane);
            if after.complete {
                self.complete.insert(ticket, lane);
            }
        }
    }
}
