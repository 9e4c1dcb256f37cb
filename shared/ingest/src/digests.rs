//! The digests of one object: all of them are computed in one pass over the bytes.

use std::collections::BTreeMap;

use media_domain::{
    blob::Checkpoint,
    media::{Md5, Sha256, Sha512},
};
use sha2::{
    Digest as _,
    digest::common::hazmat::{SerializableState, SerializedState},
};

use super::{Expectation, IngestError};

/// SHA-256 of the bytes so far, and the other digests that they must have.
#[derive(Clone)]
pub(super) struct Digests {
    sha256: sha2::Sha256,
    sha512: Option<sha2::Sha512>,
    md5: Option<md5::Md5>,
}

impl Digests {
    /// Begins at the first byte.
    pub(super) fn new(expectation: &Expectation) -> Self {
        Self {
            sha256: sha2::Sha256::default(),
            sha512: expectation.sha512.map(|_| sha2::Sha512::default()),
            md5: expectation.md5.map(|_| md5::Md5::default()),
        }
    }

    /// Continues at a checkpoint, if it has the states of all digests that the bytes must have.
    pub(super) fn restore(expectation: &Expectation, checkpoint: &Checkpoint) -> Option<Self> {
        let state = |name: &str| checkpoint.more_states.get(name);
        Some(Self {
            sha256: restore(&checkpoint.sha256_state)?,
            sha512: match expectation.sha512 {
                Some(_) => Some(restore(state("sha512")?)?),
                None => None,
            },
            md5: match expectation.md5 {
                Some(_) => Some(restore(state("md5")?)?),
                None => None,
            },
        })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// SHA-256 of the bytes so far.
    pub(super) fn sha256(&self) -> Sha256 {
        Sha256::from_bytes(self.sha256.clone().finalize().into())
    }

    /// The state of SHA-256, and the states of the other digests by their names, as a checkpoint has them.
    pub(super) fn states(&self) -> (String, BTreeMap<String, String>) {
        let sha512 = self.sha512.as_ref().map(|hash| ("sha512", state(hash)));
        let md5 = self.md5.as_ref().map(|hash| ("md5", state(hash)));
        let more = sha512.into_iter().chain(md5);
        let more = more.map(|(name, state)| (name.to_owned(), state));
        (state(&self.sha256), more.collect())
    }

    /// Compares the digests of all bytes with those that they must have.
    pub(super) fn check(&self, expectation: &Expectation) -> Result<(), IngestError> {
        compare("sha256", expectation.sha256, || self.sha256())?;
        if let Some(hash) = &self.sha512 {
            let actual = || Sha512::from_bytes(hash.clone().finalize().into());
            compare("sha512", expectation.sha512, actual)?;
        }
        if let Some(hash) = &self.md5 {
            let actual = || Md5::from_bytes(hash.clone().finalize().into());
            compare("md5", expectation.md5, actual)?;
        }
        Ok(())
    }
}

pub(super) fn compare<T: PartialEq + ToString>(
    algorithm: &'static str,
    expected: Option<T>,
    actual: impl FnOnce() -> T,
) -> Result<(), IngestError> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let actual = actual();
    if actual == expected {
        return Ok(());
    }
    Err(IngestError::ChecksumMismatch {
        algorithm,
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

fn state<H: SerializableState>(hash: &H) -> String {
    hex::encode(hash.serialize())
}

/// Reads the state in a checkpoint.
fn restore<H: SerializableState>(text: &str) -> Option<H> {
    let bytes = hex::decode(text).ok()?;
    let state = SerializedState::<H>::try_from(bytes.as_slice()).ok()?;
    H::deserialize(&state).ok()
}

#[cfg(test)]
mod tests {
    use media_domain::blob::{ResumeLocation, ResumePoint};

    use super::*;

    fn expectation() -> Expectation {
        Expectation {
            max_bytes: 100,
            size: None,
            sha256: None,
            sha512: None,
            md5: Some(Md5::from_hex("900150983cd24fb0d6963f7d28e17f72").unwrap()),
        }
    }

    #[test]
    fn all_digests_are_compared_and_survive_a_checkpoint() {
        let expected = Expectation {
            sha512: Some(
                Sha512::from_hex(
                    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                     2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                )
                .unwrap(),
            ),
            ..expectation()
        };
        let mut digests = Digests::new(&expected);
        digests.update(b"a");
        let (sha256_state, more_states) = digests.states();
        let mut checkpoint = Checkpoint {
            prefix: ResumePoint {
                bytes: 1,
                location: ResumeLocation::Disk,
            },
            sha256_state,
            more_states,
            origin: serde_json::Value::Null,
        };
        let mut resumed = Digests::restore(&expected, &checkpoint).unwrap();
        resumed.update(b"bc");
        assert!(resumed.check(&expected).is_ok());
        digests.update(b"bd");
        let wrong = digests.check(&expected).unwrap_err().to_string();
        assert!(wrong.starts_with("has the sha512 "), "{wrong}");
        // A checkpoint of a job without the digest.
        checkpoint.more_states.remove("md5");
        assert!(Digests::restore(&expected, &checkpoint).is_none());
    }
}
