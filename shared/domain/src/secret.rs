//! Secrets of the configuration.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// A text that is never printed. Clones share it, so that all see a new text that was read from a changed file.
#[derive(Clone)]
pub struct Secret(Arc<RwLock<Arc<str>>>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(Arc::new(RwLock::new(text.into())))
    }

    /// The present text, for the code that needs it.
    pub fn expose(&self) -> Arc<str> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the text in all clones.
    pub fn replace(&self, text: &str) {
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
