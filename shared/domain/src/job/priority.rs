//! The priority of a job.

/// The urgency of a job, −100…100. Higher priorities are claimed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(i16);

/// The error for a number that is not a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from -100 to 100")]
pub struct PriorityError;

impl Priority {
    /// The lowest priority, as a number.
    pub const MIN: i16 = -100;
    /// The highest priority, as a number.
    pub const MAX: i16 = 100;
    /// The highest priority.
    pub const HIGHEST: Self = Self(Self::MAX);

    /// Converts a number to a priority. Fails outside [`Self::MIN`] to [`Self::MAX`].
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
