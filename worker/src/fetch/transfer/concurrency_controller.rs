//! Chooses the number of connections of an import: it doubles as long as the throughput rises with it.

use std::time::{Duration, Instant};

/// Time over which the rate is measured.
const MEASUREMENT_WINDOW: Duration = Duration::from_secs(1);
/// Time for which a number stays that a larger one did not improve.
const HOLD_TIME: Duration = Duration::from_secs(20);

/// Chooses the number of connections.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    max: usize,
    target: usize,
    /// The number before the last increase, and its rate.
    previous: Option<(usize, f64)>,
    hold_until: Option<Instant>,
    window: Window,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    received: u64,
    waited: Duration,
}

impl ConcurrencyController {
    /// Starts with one connection, and uses at most `max`.
    pub(super) fn new(max: usize, now: Instant) -> Self {
        Self {
            max,
            target: 1,
            previous: None,
            hold_until: None,
            window: Window {
                began: now,
                received: 0,
                waited: Duration::ZERO,
            },
        }
    }

    /// Returns the number of connections that should be open.
    pub(super) fn target(&self) -> usize {
        self.target
    }

    /// Adjusts the number at the end of a measurement window, given the bytes received over all connections so
    /// far and the time that the reader has waited for them. Returns the rate in bytes per second if a
    /// window has just ended in which the import waited for the origin most of the time.
    pub(super) fn adjust(&mut self, received: u64, waited: Duration, now: Instant) -> Option<f64> {
        let elapsed = now.duration_since(self.window.began);
        if elapsed < MEASUREMENT_WINDOW {
            return None;
        }
        let rate = to_f64(received - self.window.received) / elapsed.as_secs_f64();
        let idle_ratio =
            waited.saturating_sub(self.window.waited).as_secs_f64() / elapsed.as_secs_f64();
        self.window = Window {
            began: now,
            received,
            waited,
        };
        // Otherwise storage is the bottleneck, and more connections would not help.
        (idle_ratio > 0.5).then(|| {
            self.decide(rate, now);
            rate
        })
    }

    /// Caps the number of connections for [`HOLD_TIME`].
    pub(super) fn cap(&mut self, number: usize, now: Instant) {
        self.target = number.clamp(1, self.target);
        self.previous = None;
        self.hold_until = Some(now + HOLD_TIME);
    }

    fn decide(&mut self, rate: f64, now: Instant) {
        if self.hold_until.is_some_and(|until| until > now) {
            return;
        }
        if let Some((number, previous_rate)) = self.previous {
            let growth = to_f64((self.target - number) as u64) / to_f64(number as u64);
            // The additional connections have to bring at least half of their proportional rate.
            if rate < previous_rate * (1.0 + growth / 2.0) {
                self.target = number;
                self.previous = None;
                self.hold_until = Some(now + HOLD_TIME);
                return;
            }
        }
        if self.target < self.max {
            self.previous = Some((self.target, rate));
            self.target = (self.target * 2).min(self.max);
        } else {
            self.previous = None;
            self.hold_until = Some(now + HOLD_TIME);
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a rate of three digits is precise enough"
)]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs for some seconds at a rate that depends on the number of connections.
    fn run(max: usize, seconds: u32, idle: f64, rate: impl Fn(usize) -> u64) -> Vec<usize> {
        let start = Instant::now();
        let mut controller = ConcurrencyController::new(max, start);
        let mut received = 0;
        (1..=seconds)
            .map(|second| {
                received += rate(controller.target());
                let elapsed = MEASUREMENT_WINDOW * second;
                controller.adjust(received, elapsed.mul_f64(idle), start + elapsed);
                controller.target()
            })
            .collect()
    }

    #[test]
    fn the_number_doubles_while_the_rate_rises() {
        assert_eq!(run(8, 5, 1.0, |n| n as u64 * 1000), [2, 4, 8, 8, 8]);
        assert_eq!(run(6, 4, 1.0, |n| n as u64 * 1000), [2, 4, 6, 6]);
    }

    #[test]
    fn an_increase_without_effect_is_undone() {
        assert_eq!(run(8, 4, 1.0, |_| 1000), [2, 1, 1, 1]);
        assert_eq!(run(8, 5, 1.0, |n| n.min(2) as u64 * 1000), [2, 4, 2, 2, 2]);
    }

    #[test]
    fn the_number_stays_while_storage_is_the_bottleneck() {
        assert_eq!(run(8, 3, 0.1, |n| n as u64 * 1000), [1, 1, 1]);
    }
}
