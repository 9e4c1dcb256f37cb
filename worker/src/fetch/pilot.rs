//! How many connections an import is helped by: one more as long as more of them bring more.

use std::time::{Duration, Instant};

/// Over how long the rate is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// How long a number that more did not help stays.
const SETTLED: Duration = Duration::from_secs(20);

/// Decides how many connections there should be.
#[derive(Debug)]
pub(super) struct Pilot {
    most: usize,
    wanted: usize,
    /// The number of before, and the rate that it brought.
    before: Option<(usize, f64)>,
    settled_until: Option<Instant>,
    window: Window,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    received: u64,
    waited: Duration,
}

impl Pilot {
    /// Begins with one connection, and goes no further than `most`.
    pub(super) fn new(most: usize, now: Instant) -> Self {
        Self {
            most,
            wanted: 1,
            before: None,
            settled_until: None,
            window: Window {
                began: now,
                received: 0,
                waited: Duration::ZERO,
            },
        }
    }

    /// How many connections there should be.
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Takes note of how many bytes have come over all connections so far, and how long the reader
    /// has waited for them. Says at what rate they come, in bytes per second, if a window has just
    /// ended in which the origin was what held the import up.
    pub(super) fn note(&mut self, received: u64, waited: Duration, now: Instant) -> Option<f64> {
        let elapsed = now.duration_since(self.window.began);
        if elapsed < WINDOW {
            return None;
        }
        let rate = precise(received - self.window.received) / elapsed.as_secs_f64();
        let idle = waited.saturating_sub(self.window.waited).as_secs_f64() / elapsed.as_secs_f64();
        self.window = Window {
            began: now,
            received,
            waited,
        };
        // Otherwise it is this service that is slow, and more would come to nothing.
        (idle > 0.5).then(|| {
            self.decide(rate, now);
            rate
        })
    }

    /// So many are all that can be had, for a while.
    pub(super) fn settle_for(&mut self, number: usize, now: Instant) {
        self.wanted = number.clamp(1, self.wanted);
        self.before = None;
        self.settled_until = Some(now + SETTLED);
    }

    fn decide(&mut self, rate: f64, now: Instant) {
        if self.settled_until.is_some_and(|until| until > now) {
            return;
        }
        if let Some((number, brought)) = self.before {
            let share = precise((self.wanted - number) as u64) / precise(number as u64);
            // Half of what so many more could bring.
            if rate < brought * (1.0 + share / 2.0) {
                self.wanted = number;
                self.before = None;
                self.settled_until = Some(now + SETTLED);
                return;
            }
        }
        if self.wanted < self.most {
            self.before = Some((self.wanted, rate));
            self.wanted = (self.wanted * 2).min(self.most);
        } else {
            self.before = None;
            self.settled_until = Some(now + SETTLED);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate of three digits will do")]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flies for so many seconds at `rate`, of the number of connections.
    fn fly(most: usize, seconds: u32, idle: f64, rate: impl Fn(usize) -> u64) -> Vec<usize> {
        let start = Instant::now();
        let mut pilot = Pilot::new(most, start);
        let mut received = 0;
        (1..=seconds)
            .map(|second| {
                received += rate(pilot.wanted());
                let now = start + WINDOW * second;
                pilot.note(received, (WINDOW * second).mul_f64(idle), now);
                pilot.wanted()
            })
            .collect()
    }

    #[test]
    fn more_are_used_as_long_as_they_bring_more() {
        assert_eq!(fly(8, 5, 1.0, |n| n as u64 * 1000), [2, 4, 8, 8, 8]);
        assert_eq!(fly(6, 4, 1.0, |n| n as u64 * 1000), [2, 4, 6, 6]);
    }

    #[test]
    fn what_does_not_help_is_taken_back() {
        assert_eq!(fly(8, 4, 1.0, |_| 1000), [2, 1, 1, 1]);
        assert_eq!(fly(8, 5, 1.0, |n| n.min(2) as u64 * 1000), [2, 4, 2, 2, 2]);
    }

    #[test]
    fn a_slow_service_asks_for_no_more() {
        assert_eq!(fly(8, 3, 0.1, |n| n as u64 * 1000), [1, 1, 1]);
    }
}
