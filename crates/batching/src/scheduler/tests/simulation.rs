//! A simulated pod of clients and workers, and the benefit and cost of lingering in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

use super::*;
use crate::random::RandomSequence;

#[derive(Debug, Clone, Copy)]
pub(super) enum Traffic {
    /// Clients that each send the next request after a pause: at most `turnaround` milliseconds, at least a fifth of
    /// that.
    Closed { clients: usize, turnaround: f64 },
    /// Requests per second at random times, independent of responses.
    Open { rate: f64 },
}

#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) traffic: Traffic,
    pub(super) workers: usize,
    /// Milliseconds of each batch.
    pub(super) fixed: f64,
    /// Milliseconds of each row.
    pub(super) per_row: f64,
    /// Part of its time by which a batch may take less or more: a real machine is never quite even.
    pub(super) spread: f64,
    /// Milliseconds that a request has. Its client leaves when they have passed.
    pub(super) lifetime: f64,
    pub(super) max_queue_rows: usize,
    pub(super) objective: Option<Objective>,
    /// Seconds of which the answers count; the last is the end.
    pub(super) counted: Range<u64>,
    /// Whether one row and a full batch were measured before.
    pub(super) measured: bool,
}

impl Scene {
    pub(super) const fn new(traffic: Traffic, workers: usize, fixed: f64, per_row: f64) -> Self {
        Self {
            traffic,
            workers,
            fixed,
            per_row,
            spread: 0.05,
            lifetime: FOR_EVER,
            max_queue_rows: 1_000_000,
            objective: None,
            counted: 1..3,
            measured: false,
        }
    }

    /// So many times as many requests as can be answered.
    pub(super) fn overload(times: f64, workers: usize, fixed: f64, per_row: f64) -> Self {
        let mut scene = Self::new(Traffic::Open { rate: 0.0 }, workers, fixed, per_row);
        let rate = times * scene.capacity();
        scene.traffic = Traffic::Open { rate };
        scene
    }

    /// Rows per second, in full batches.
    pub(super) fn capacity(&self) -> f64 {
        self.workers as f64 * MAX_ROWS as f64 * 1e3 / self.takes(MAX_ROWS)
    }

    fn measured(&self) -> Vec<BatchLatency> {
        let of = |rows| BatchLatency {
            rows,
            took: in_milliseconds(self.takes(rows)),
        };
        let measured = if self.measured {
            &[1, MAX_ROWS][..]
        } else {
            &[]
        };
        measured.iter().copied().map(of).collect()
    }

    fn takes(&self, rows: usize) -> f64 {
        self.fixed + self.per_row * rows as f64
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// Requests answered in time.
    pub(super) answers: usize,
    /// Requests accepted, and given up or not answered in time.
    pub(super) late: usize,
    /// Mean time from a request to its answer, in milliseconds.
    pub(super) latency: f64,
    /// The time that 99 % of the accepted requests were answered in, in milliseconds.
    pub(super) p99: f64,
    /// Requests answered within the objective's latency; all that were answered where there is none.
    pub(super) prompt: usize,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asks(usize),
    /// The batch with this number ends.
    Ends(usize),
    /// The time of the request with this ticket is up.
    Leaves(Ticket),
    /// The machine asked to be polled.
    Rings,
}

fn in_milliseconds(count: f64) -> Duration {
    Duration::from_secs_f64(count / 1e3)
}

const MAX_ROWS: usize = 32;

pub(super) fn simulate(scene: &Scene, max_linger: Duration) -> Outcome {
    let policy = Policy::WorkConserving { max_linger };
    let config = Config {
        objective: scene.objective,
        ..config(policy, MAX_ROWS, scene.max_queue_rows)
    };
    let mut scheduler: Scheduler<_, _> =
        Scheduler::new(config, rows(scene.workers), &scene.measured());
    let mut random = RandomSequence(1);
    let began = Instant::now();
    let counted_from = began + Duration::from_secs(scene.counted.start);
    let mut events = BinaryHeap::new();
    match scene.traffic {
        Traffic::Closed { clients, .. } => {
            for client in 0..clients {
                events.push(Reverse((
                    began + in_milliseconds(random.next()),
                    Event::Asks(client),
                )));
            }
        }
        Traffic::Open { .. } => events.push(Reverse((began, Event::Asks(0)))),
    }
    let mut running: BTreeMap<usize, (Batch<char, usize>, Instant)> = BTreeMap::new();
    let (mut batches, mut times, mut late) = (0, Vec::new(), 0);
    while let Some(Reverse((now, event))) = events.pop()
        && now < began + Duration::from_secs(scene.counted.end)
    {
        match event {
            Event::Asks(client) => {
                let deadline = now + in_milliseconds(scene.lifetime);
                if let Ok(ticket) = scheduler.push(now, 'a', rows(1), deadline, client) {
                    events.push(Reverse((deadline, Event::Leaves(ticket))));
                }
                if let Traffic::Open { rate } = scene.traffic {
                    let pause = -random.next().max(1e-9).ln() * 1e3 / rate;
                    events.push(Reverse((now + in_milliseconds(pause), Event::Asks(0))));
                }
            }
            Event::Ends(number) => {
                // It may have been stopped.
                if let Some((batch, started)) = running.remove(&number) {
                    for entry in answer(&mut scheduler, now, batch, now - started) {
                        if now >= counted_from && now <= entry.deadline() {
                            times.push(now - entry.arrived());
                        }
                        if let Traffic::Closed { turnaround, .. } = scene.traffic {
                            let pause = in_milliseconds(turnaround * (0.2 + 0.8 * random.next()));
                            events.push(Reverse((now + pause, Event::Asks(entry.payload))));
                        }
                    }
                }
            }
            Event::Leaves(ticket) => match scheduler.cancel(ticket) {
                Cancelled::Over => {}
                cancelled => {
                    late += usize::from(now >= counted_from);
                    if let Cancelled::Running(Some(cancel)) = cancelled {
                        cancel.cancel();
                        for (_, (batch, started)) in
                            running.extract_if(.., |_, (batch, _)| batch.cancel.is_cancelled())
                        {
                            scheduler.stopped(batch.run, batch.entries.len(), now - started);
                        }
                    }
                }
            },
            Event::Rings => {}
        }
        loop {
            match scheduler.poll(now) {
                Action::Run(batch) => {
                    let takes = scene.takes(batch.entries.len());
                    let takes = takes * (1.0 + scene.spread * (2.0 * random.next() - 1.0));
                    let ends = now + in_milliseconds(takes);
                    batches += 1;
                    running.insert(batches, (batch, now));
                    events.push(Reverse((ends, Event::Ends(batches))));
                }
                Action::Wait(until) => {
                    if scheduler.has_idle_worker()
                        && let Some(until) = until
                    {
                        events.push(Reverse((until, Event::Rings)));
                    }
                    break;
                }
                Action::Expired(entries) if now >= counted_from => late += entries.len(),
                Action::Expired(_) => {}
                Action::Check(_) => panic!("nothing is checked"),
                Action::Finished => panic!("nobody closed it"),
            }
        }
    }
    let total: Duration = times.iter().sum();
    let answers = times.len();
    times.sort_unstable();
    let latency = scene.objective.map_or(Duration::MAX, |it| it.latency);
    let prompt = times.partition_point(|time| *time <= latency);
    let p99 = times.get((answers + late) * 99 / 100);
    Outcome {
        answers,
        late,
        latency: total.as_secs_f64() * 1e3 / answers as f64,
        p99: p99.map_or(f64::INFINITY, |p99| p99.as_secs_f64() * 1e3),
        prompt,
    }
}

pub(super) const MAX: Duration = Duration::from_millis(50);
const FOR_EVER: f64 = 1e6;

fn closed(clients: usize, turnaround: f64) -> Traffic {
    Traffic::Closed {
        clients,
        turnaround,
    }
}

/// Without and with lingering.
fn both(scene: &Scene) -> (Outcome, Outcome) {
    (simulate(scene, Duration::ZERO), simulate(scene, MAX))
}

#[test]
fn clients_that_come_back_share_batches_where_a_batch_costs_much() {
    for (clients, fixed, per_row, at_least) in [
        (4, 10.0, 0.5, 1.5),
        (8, 10.0, 0.5, 1.5),
        (8, 4.0, 0.5, 1.2),
        (32, 50.0, 1.0, 1.4),
    ] {
        let scene = Scene::new(closed(clients, 0.5), 1, fixed, per_row);
        let (without, with) = both(&scene);
        let gain = with.answers as f64 / without.answers as f64;
        assert!(gain > at_least, "{gain} in {scene:?}");
        assert!(with.latency < without.latency, "{with:?} in {scene:?}");
    }
}

#[test]
fn two_clients_that_take_turns_are_brought_together_where_batches_were_measured_before() {
    for (fixed, per_row) in [(4.0, 0.5), (10.0, 0.5), (50.0, 1.0)] {
        let scene = Scene {
            measured: true,
            ..Scene::new(closed(2, 0.5), 1, fixed, per_row)
        };
        let (without, with) = both(&scene);
        let gain = with.answers as f64 / without.answers as f64;
        assert!(gain > 1.5, "{gain} in {scene:?}");
        assert!(with.latency < without.latency, "{with:?} in {scene:?}");
    }
}

#[test]
fn lingering_costs_nothing_where_it_brings_nothing() {
    for clients in [1, 2, 8, 32, 100] {
        for (fixed, per_row) in [
            (0.5, 0.2),
            (2.0, 0.1),
            (2.0, 2.0),
            (10.0, 1.0),
            (10.0, 10.0),
        ] {
            for (workers, turnaround) in [(1, 0.1), (1, 2.0), (1, 20.0), (1, 200.0), (2, 1.0)] {
                let scene = Scene::new(closed(clients, turnaround), workers, fixed, per_row);
                let (without, with) = both(&scene);
                let gain = with.answers as f64 / without.answers as f64;
                assert!(gain > 0.99, "{gain} in {scene:?}");
                let slower = with.latency / without.latency;
                assert!(slower < 1.01, "{slower} in {scene:?}");
            }
        }
    }
}

#[test]
fn a_light_fixed_cost_and_a_lone_client_are_never_waited_for() {
    for (clients, fixed, per_row) in [(1, 10.0, 0.5), (1, 50.0, 0.1), (8, 1.0, 0.1), (8, 4.0, 8.0)]
    {
        let scene = Scene::new(closed(clients, 0.5), 1, fixed, per_row);
        let (without, with) = both(&scene);
        assert_eq!(without, with, "{scene:?}");
    }
}

#[test]
fn traffic_that_does_not_react_to_answers_is_not_waited_for() {
    for load in [0.05, 0.2, 0.5, 0.8, 0.95] {
        for (fixed, per_row) in [(4.0, 0.1), (10.0, 1.0)] {
            let rate = load * 32e3 / (fixed + 32.0 * per_row);
            let scene = Scene::new(Traffic::Open { rate }, 1, fixed, per_row);
            let (without, with) = both(&scene);
            let slower = with.latency / without.latency;
            assert!(slower < 1.01, "{slower} in {scene:?}");
        }
    }
}
