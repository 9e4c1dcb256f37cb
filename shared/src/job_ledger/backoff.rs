//! How long a job waits before its next attempt.

use std::time::Duration;

use rand::RngExt as _;

/// The shortest wait.
const BASE: Duration = Duration::from_secs(1);
/// The longest wait that back-off comes to.
const CAP: Duration = Duration::from_mins(10);
/// The longest wait that an origin may ask for.
const RETRY_AFTER_CAP: Duration = Duration::from_hours(24);

/// Over how long those come back who wait for the same.
const SPREAD: Duration = Duration::from_mins(1);

/// Exponential back-off with full jitter: a random time between one second and 2ⁿ seconds, at most
/// ten minutes, and no less than the origin asked for (up to a day), spread out.
pub(super) fn delay(retry_count: i32, retry_after: Option<Duration>) -> Duration {
    let exponent = retry_count.clamp(0, 16).unsigned_abs() + 1;
    let ceiling = BASE.saturating_mul(2_u32.saturating_pow(exponent)).min(CAP);
    let jittered = rand::rng().random_range(BASE..=ceiling);
    match retry_after {
        Some(asked) => jittered.max(after(asked)),
        None => jittered,
    }
}

/// A while after so long, so that all who wait for the same do not come at once.
pub(super) fn after(wait: Duration) -> Duration {
    let wait = wait.min(RETRY_AFTER_CAP);
    let spread = (wait / 10).clamp(BASE, SPREAD);
    wait + rand::rng().random_range(Duration::ZERO..=spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_stays_between_a_second_and_ten_minutes() {
        for retry_count in 0..100 {
            let delay = delay(retry_count, None);
            assert!((BASE..=CAP).contains(&delay), "{retry_count}: {delay:?}");
        }
        assert!((0..50).any(|_| delay(20, None) > Duration::from_mins(1)));
        assert!((0..50).all(|_| delay(0, None) <= Duration::from_secs(2)));
    }

    #[test]
    fn the_origin_is_obeyed_up_to_a_day() {
        assert!(delay(0, Some(Duration::from_hours(1))) >= Duration::from_hours(1));
        let longest = RETRY_AFTER_CAP..=RETRY_AFTER_CAP + SPREAD;
        assert!(longest.contains(&delay(0, Some(Duration::MAX))));
        // Many that were told the same do not come back at once.
        let many: Vec<_> = (0..20)
            .map(|_| delay(0, Some(Duration::from_mins(2))))
            .collect();
        assert!(many.iter().max() > many.iter().min());
    }
}
