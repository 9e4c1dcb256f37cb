//! The number of an attempt.

use std::fmt;

/// The number of an attempt at a job: its fencing token, one higher with every claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "database", derive(sea_orm::DeriveValueType))]
pub struct Attempt(i32);

impl Attempt {
    /// Before the first claim.
    pub const NONE: Self = Self(0);
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// Takes a number, counted from 1.
    pub const fn new(number: i32) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
