//! Text that is never printed.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// A text that is never printed. Clones share it: where it comes from a file that has changed, all have the new one.
#[derive(Clone)]
pub struct Secret(Arc<RwLock<Arc<str>>>);

impl Secret {
    /// Keeps a text from being printed.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(RwLock::new(text.into())))
    }

    /// The text as it is now, for the one place that needs it.
    pub fn expose(&self) -> Arc<str> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, text: &str) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = text.into();
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
