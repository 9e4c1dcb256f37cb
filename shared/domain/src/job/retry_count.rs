//! A number of retries.

use serde::Serialize;

/// A number of retries, the attempts beyond the first: 0…100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
#[cfg_attr(feature = "database", derive(sea_orm::DeriveValueType))]
pub struct RetryCount(i32);

/// A number that is no number of retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 0 to {}", RetryCount::MAX)]
pub struct RetryCountError;

impl RetryCount {
    /// The largest number of retries.
    pub const MAX: i32 = 100;
    /// No retries.
    pub const ZERO: Self = Self(0);
    /// The default of imports.
    pub(crate) const FIVE: Self = Self(5);

    /// Takes a number of retries.
    pub fn new(number: i64) -> Result<Self, RetryCountError> {
        i32::try_from(number)
            .ok()
            .filter(|number| (0..=Self::MAX).contains(number))
            .map(Self)
            .ok_or(RetryCountError)
    }

    /// One more.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }
}
