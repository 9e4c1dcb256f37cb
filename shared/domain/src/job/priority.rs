//! The priority of a job.

/// The urgency of a job, −100…100. Higher priorities are claimed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(i16);

/// A number that is no priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from -100 to 100")]
pub struct PriorityError;

impl Priority {
    /// The least urgent, as a number.
    pub const MIN: i16 = -100;
    /// The most urgent, as a number.
    pub const MAX: i16 = 100;
    /// The most urgent.
    pub const HIGHEST: Self = Self(Self::MAX);

    /// Takes a number as a priority.
    pub fn new(value: i64) -> Result<Self, PriorityError> {
        i16::try_from(value)
            .ok()
            .filter(|value| (Self::MIN..=Self::MAX).contains(value))
            .map(Self)
            .ok_or(PriorityError)
    }

    /// The number.
    pub fn get(self) -> i16 {
        self.0
    }
}
