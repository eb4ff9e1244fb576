//! What lingering brings and costs, in a simulated world of clients and workers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// Numbers that look random, the same in each run: Knuth's linear congruential generator (MMIX).
struct Noise(u64);

impl Noise {
    /// Evenly between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Debug, Clone, Copy)]
enum Traffic {
    /// So many clients, each of which asks again a while after its answer: at most so many
    /// milliseconds, at least a fifth of that.
    Closed { clients: usize, turnaround: f64 },
    /// So many requests per second at random times, whether answered or not.
    Open { rate: f64 },
}

#[derive(Debug, Clone, Copy)]
struct Scene {
    traffic: Traffic,
    workers: usize,
    /// Milliseconds of each batch.
    fixed: f64,
    /// Milliseconds of each row.
    per_row: f64,
    /// Milliseconds that a request has.
    lifetime: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Outcome {
    /// Requests answered in time.
    answers: usize,
    /// Requests accepted, and answered late or not at all.
    late: usize,
    /// Mean time from a request to its answer, in milliseconds.
    latency: f64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asks(usize),
    /// The batch in this slot ends.
    Ends(usize),
    /// The machine asked to be polled.
    Rings,
}

fn in_milliseconds(count: f64) -> Duration {
    Duration::from_secs_f64(count / 1e3)
}

/// Three seconds, of which the first is not counted.
fn simulate(scene: Scene, max_linger: Duration) -> Outcome {
    let policy = Policy::WorkConserving { max_linger };
    let mut machine = Machine::new(config(policy, 32, 1_000_000), rows(scene.workers));
    let mut noise = Noise(1);
    let began = Instant::now();
    let counted_from = began + Duration::from_secs(1);
    let mut events = BinaryHeap::new();
    match scene.traffic {
        Traffic::Closed { clients, .. } => {
            for client in 0..clients {
                events.push(Reverse((
                    began + in_milliseconds(noise.next()),
                    Event::Asks(client),
                )));
            }
        }
        Traffic::Open { .. } => events.push(Reverse((began, Event::Asks(0)))),
    }
    let mut running = Vec::new();
    let (mut times, mut late) = (Vec::new(), 0);
    while let Some(Reverse((now, event))) = events.pop()
        && now < began + Duration::from_secs(3)
    {
        match event {
            Event::Asks(client) => {
                let deadline = now + in_milliseconds(scene.lifetime);
                let _refused = machine.push(now, 'a', rows(1), deadline, client);
                if let Traffic::Open { rate } = scene.traffic {
                    let pause = -noise.next().max(1e-9).ln() * 1e3 / rate;
                    events.push(Reverse((now + in_milliseconds(pause), Event::Asks(0))));
                }
            }
            Event::Ends(slot) => {
                let batch: &mut Option<(Batch<char, usize>, Instant)> = &mut running[slot];
                let (batch, started) = batch.take().unwrap();
                machine.succeeded(now, batch.run, batch.entries.len(), now - started);
                for entry in batch.entries {
                    if now >= counted_from {
                        if now <= entry.deadline() {
                            times.push(now - entry.arrived());
                        } else {
                            late += 1;
                        }
                    }
                    if let Traffic::Closed { turnaround, .. } = scene.traffic {
                        let pause = in_milliseconds(turnaround * (0.2 + 0.8 * noise.next()));
                        events.push(Reverse((now + pause, Event::Asks(entry.payload))));
                    }
                }
            }
            Event::Rings => {}
        }
        loop {
            match machine.poll(now) {
                Step::Run(batch) => {
                    let takes = scene.fixed + scene.per_row * batch.entries.len() as f64;
                    // A real machine is never quite even.
                    let takes = takes * (0.95 + 0.1 * noise.next());
                    let ends = now + in_milliseconds(takes);
                    let free = running.iter().position(Option::is_none);
                    let slot = free.unwrap_or(running.len());
                    if free.is_none() {
                        running.push(None);
                    }
                    running[slot] = Some((batch, now));
                    events.push(Reverse((ends, Event::Ends(slot))));
                }
                Step::Wait(until) => {
                    if machine.has_idle_worker()
                        && let Some(until) = until
                    {
                        events.push(Reverse((until, Event::Rings)));
                    }
                    break;
                }
                Step::Expired(entries) if now >= counted_from => late += entries.len(),
                Step::Expired(_) => {}
                Step::Finished => panic!("nobody closed it"),
            }
        }
    }
    let total: Duration = times.iter().sum();
    Outcome {
        answers: times.len(),
        late,
        latency: total.as_secs_f64() * 1e3 / times.len() as f64,
    }
}

const MAX: Duration = Duration::from_millis(50);
const FOR_EVER: f64 = 1e6;

fn closed(clients: usize, turnaround: f64) -> Traffic {
    Traffic::Closed {
        clients,
        turnaround,
    }
}

/// Without and with lingering.
fn both(scene: Scene) -> (Outcome, Outcome) {
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
        let scene = Scene {
            traffic: closed(clients, 0.5),
            workers: 1,
            fixed,
            per_row,
            lifetime: FOR_EVER,
        };
        let (without, with) = both(scene);
        let gain = with.answers as f64 / without.answers as f64;
        assert!(gain > at_least, "{gain} in {scene:?}");
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
                let scene = Scene {
                    traffic: closed(clients, turnaround),
                    workers,
                    fixed,
                    per_row,
                    lifetime: FOR_EVER,
                };
                let (without, with) = both(scene);
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
        let scene = Scene {
            traffic: closed(clients, 0.5),
            workers: 1,
            fixed,
            per_row,
            lifetime: FOR_EVER,
        };
        let (without, with) = both(scene);
        assert_eq!(without, with, "{scene:?}");
    }
}

#[test]
fn traffic_that_does_not_react_to_answers_is_not_waited_for() {
    for load in [0.05, 0.2, 0.5, 0.8, 0.95] {
        for (fixed, per_row) in [(4.0, 0.1), (10.0, 1.0)] {
            let rate = load * 32e3 / (fixed + 32.0 * per_row);
            let scene = Scene {
                traffic: Traffic::Open { rate },
                workers: 1,
                fixed,
                per_row,
                lifetime: FOR_EVER,
            };
            let (without, with) = both(scene);
            let slower = with.latency / without.latency;
            assert!(slower < 1.01, "{slower} in {scene:?}");
        }
    }
}

#[test]
fn under_overload_as_much_is_answered_in_time_as_can_be_and_hardly_anything_accepted_is_late() {
    for (workers, fixed, per_row, lifetime) in [
        (1, 5.0, 1.0, 500.0),
        (2, 5.0, 1.0, 500.0),
        (1, 0.0, 5.0, 1_000.0),
        (1, 20.0, 0.5, 300.0),
    ] {
        let capacity = workers as f64 * 32e3 / (fixed + 32.0 * per_row);
        let scene = Scene {
            traffic: Traffic::Open {
                rate: 3.0 * capacity,
            },
            workers,
            fixed,
            per_row,
            lifetime,
        };
        let outcome = simulate(scene, MAX);
        let goodput = outcome.answers as f64 / 2.0 / capacity;
        assert!(goodput > 0.95, "{goodput} of {capacity} in {scene:?}");
        let late = outcome.late as f64 / outcome.answers as f64;
        assert!(late < 0.01, "{late} in {scene:?}");
    }
}
