//! Secrets in files, as orchestrators mount them: read at the start, and again when they change.

use std::{
    fs::File,
    io::Read as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::Secret;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret setting whose value is in a file.
#[derive(Clone, Debug)]
pub struct SecretFile {
    /// The setting, without `_FILE`.
    variable: &'static str,
    path: PathBuf,
    secret: Secret,
    check: fn(&str) -> Result<(), String>,
    /// The last mistake in the log, which is logged once.
    logged: Arc<Mutex<Option<String>>>,
}

impl SecretFile {
    /// Follows a file that `secret` was read from. New text has to pass `check`.
    pub(super) fn new(
        variable: &'static str,
        path: PathBuf,
        secret: Secret,
        check: fn(&str) -> Result<(), String>,
    ) -> Self {
        Self {
            variable,
            path,
            secret,
            check,
            logged: Arc::default(),
        }
    }

    /// Reads the file again. Returns whether the secret has changed; a file that cannot be used changes nothing. Blocks.
    pub fn refresh(&self) -> bool {
        let variable = self.variable;
        let text = match read(&self.path).and_then(|text| (self.check)(&text).map(|()| text)) {
            Ok(text) => text,
            Err(reason) => {
                let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
                if logged.as_ref() != Some(&reason) {
                    tracing::warn!("{variable}_FILE {reason}; the secret stays as it was");
                }
                *logged = Some(reason);
                return false;
            }
        };
        if *self.secret.expose() == *text {
            return false;
        }
        self.secret.replace(&text);
        tracing::info!("{variable}_FILE has changed and was read again");
        true
    }
}

/// Reads the text in a file, without the line break at its end.
pub(super) fn read(path: &std::path::Path) -> Result<String, String> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot be read from {shown}: {error}"))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!(
            "is too large: {shown} has more than {MAX_BYTES} bytes"
        ));
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("is empty: {shown}"));
    }
    Ok(text.to_owned())
}
