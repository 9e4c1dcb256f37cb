//! The key that encrypts secrets in the tables. If none is configured, it is generated once and stored in a file
//! beside the SQLite file.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    path::Path,
};

use anyhow::Context as _;
use media_shared::config::{Config, DatabaseUrl, Secret};
use ring::rand::{SecureRandom as _, SystemRandom};

const FILE_NAME: &str = "encryption.key";
const KEY_BYTES: usize = 32;
const MAX_FILE_BYTES: u64 = 4096;

/// Returns the configured key, or the one beside the SQLite file, which it generates if needed; none if no key is
/// configured and the tables are in PostgreSQL. The caller must hold the lock on the data.
pub(crate) fn choose(config: &Config) -> anyhow::Result<Option<Secret>> {
    match (&config.encryption_key, &config.database) {
        (None, DatabaseUrl::Sqlite { path }) => {
            let path = path.with_file_name(FILE_NAME);
            let key = read_or_create(&path)
                .with_context(|| format!("cannot read or write {}", path.display()))?;
            Ok(Some(key))
        }
        (configured, _) => Ok(configured.clone()),
    }
}

fn read_or_create(path: &Path) -> anyhow::Result<Secret> {
    match File::open(path) {
        Ok(file) => {
            let mut key = String::new();
            file.take(MAX_FILE_BYTES).read_to_string(&mut key)?;
            // A shorter key was not written completely, and so never used.
            if key.trim().len() >= KEY_BYTES {
                return Ok(Secret::new(key.trim()));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut bytes = [0; KEY_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system provides no random bytes"))?;
    let key = hex::encode(bytes);
    // Only its owner can read it: the process's umask applies to all files.
    let mut file = File::create(path)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()?;
    Ok(Secret::new(key))
}
