//! The delay before the next attempt at a job.

use std::time::Duration;

use media_domain::job::{RetryCount, RetryDelay};
use rand::RngExt as _;

/// The shortest delay.
const MIN_DELAY: Duration = Duration::from_secs(1);
/// The longest delay that back-off reaches.
const MAX_DELAY: Duration = Duration::from_mins(10);
/// The longest delay that an origin may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
/// The window over which retries for one host are spread.
const MAX_JITTER: Duration = Duration::from_mins(1);

/// Exponential back-off with full jitter: a random time between one second and 2ⁿ seconds, at most ten minutes, and no
/// less than the origin asked for (up to a day), with jitter.
pub(super) fn after_failure(retry_count: RetryCount, delay: RetryDelay) -> Duration {
    let exponent = retry_count.get().clamp(0, 16).unsigned_abs() + 1;
    let ceiling = MIN_DELAY
        .saturating_mul(2_u32.saturating_pow(exponent))
        .min(MAX_DELAY);
    let jittered = rand::rng().random_range(MIN_DELAY..=ceiling);
    match delay {
        RetryDelay::Backoff => jittered,
        RetryDelay::AtLeast(wait) | RetryDelay::Postponed(wait) => jittered.max(with_jitter(wait)),
    }
}

/// A delay with jitter, so that jobs with the same delay do not start at once.
pub(super) fn with_jitter(wait: Duration) -> Duration {
    let wait = wait.min(MAX_RETRY_AFTER);
    let spread = (wait / 10).clamp(MIN_DELAY, MAX_JITTER);
    wait + rand::rng().random_range(Duration::ZERO..=spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(retry_count: i64, retry_after: Option<Duration>) -> Duration {
        let delay = retry_after.map_or(RetryDelay::Backoff, RetryDelay::AtLeast);
        after_failure(RetryCount::new(retry_count).unwrap(), delay)
    }

    #[test]
    fn the_delay_stays_between_a_second_and_ten_minutes() {
        for retry_count in 0..100 {
            let delay = delay(retry_count, None);
            assert!(
                (MIN_DELAY..=MAX_DELAY).contains(&delay),
                "{retry_count}: {delay:?}"
            );
        }
        assert!((0..50).any(|_| delay(20, None) > Duration::from_mins(1)));
        assert!((0..50).all(|_| delay(0, None) <= Duration::from_secs(2)));
    }

    #[test]
    fn the_origin_decides_up_to_a_day() {
        assert!(delay(0, Some(Duration::from_hours(1))) >= Duration::from_hours(1));
        let longest = MAX_RETRY_AFTER..=MAX_RETRY_AFTER + MAX_JITTER;
        assert!(longest.contains(&delay(0, Some(Duration::MAX))));
        // Jobs with the same delay do not start at once.
        let many: Vec<_> = (0..20)
            .map(|_| delay(0, Some(Duration::from_mins(2))))
            .collect();
        assert!(many.iter().max() > many.iter().min());
    }
}
