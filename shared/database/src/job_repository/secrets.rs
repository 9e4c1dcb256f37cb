//! The secrets in the arguments of failed and cancelled jobs: the password and query of a URL, and the values of
//! headers. Only the signal `retry` needs them. They are encrypted for it if there is a key, and removed otherwise.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom as _, SystemRandom},
};
use sea_orm::prelude::Json;
use serde_json::Value;

use crate::entities::job;
use media_domain::{
    ids::JobId,
    job::{ImportArguments, JobClass as _, MediaImport},
    secret::Secret,
};

/// The member of the arguments that holds the whole arguments, encrypted; null if they were not kept.
const MEMBER: &str = "encrypted";
/// The purpose of the key that is derived from the configured one.
const PURPOSE: &[u8] = b"secrets of jobs 1";

/// Encrypts the secrets of ended jobs: AES-256-GCM (NIST SP 800-38D), with a key derived by HKDF (RFC 5869). The
/// id of the job is authenticated, so that no row takes the secrets of another.
#[derive(Clone)]
pub struct SecretsCipher(Arc<LessSafeKey>);

/// The secrets of the job were removed, or cannot be decrypted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SecretsRemoved;

impl SecretsCipher {
    /// A cipher with a key of any length.
    #[expect(
        clippy::missing_panics_doc,
        clippy::expect_used,
        reason = "HKDF gives up to 255 blocks of 32 bytes, and a key is one of them"
    )]
    pub fn new(key: &Secret) -> Self {
        let pseudorandom = Salt::new(HKDF_SHA256, &[]).extract(key.expose().as_bytes());
        let key = pseudorandom
            .expand(&[PURPOSE], &AES_256_GCM)
            .map(UnboundKey::from)
            .expect("one block");
        Self(Arc::new(LessSafeKey::new(key)))
    }

    fn encrypt(&self, id: JobId, plain: &Json) -> Result<String, Unspecified> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce)?;
        let mut bytes = plain.to_string().into_bytes();
        let (aad, key_nonce) = (
            Aad::from(id.to_string()),
            Nonce::assume_unique_for_key(nonce),
        );
        self.0
            .seal_in_place_append_tag(key_nonce, aad, &mut bytes)?;
        Ok(BASE64.encode([nonce.as_slice(), &bytes].concat()))
    }

    fn decrypt(&self, id: JobId, text: &str) -> Option<Json> {
        let bytes = BASE64.decode(text).ok()?;
        let (nonce, encrypted) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut encrypted = encrypted.to_vec();
        let aad = Aad::from(id.to_string());
        let plain = self.0.open_in_place(nonce, aad, &mut encrypted).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

impl fmt::Debug for SecretsCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[cipher]")
    }
}

/// The arguments of a job after it has failed or was cancelled.
pub(super) fn conceal(job: &job::Model, cipher: Option<&SecretsCipher>) -> Json {
    let arguments = &job.arguments;
    let is_done = arguments.get(MEMBER).is_some();
    if is_done || job.job_class != MediaImport::NAME {
        return arguments.clone();
    }
    let Ok(import) = serde_json::from_value::<ImportArguments>(arguments.clone()) else {
        return arguments.clone();
    };
    let mut shown = import.redacted();
    if shown == *arguments {
        return shown;
    }
    let encrypted = cipher.and_then(|cipher| cipher.encrypt(job.id, arguments).ok());
    if let Some(members) = shown.as_object_mut() {
        let value = encrypted.map_or(Value::Null, Value::String);
        members.insert(MEMBER.to_owned(), value);
    }
    shown
}

/// The arguments of a job before it ended.
pub(super) fn reveal(
    job: &job::Model,
    cipher: Option<&SecretsCipher>,
) -> Result<Json, SecretsRemoved> {
    let Some(encrypted) = job.arguments.get(MEMBER) else {
        return Ok(job.arguments.clone());
    };
    cipher
        .zip(encrypted.as_str())
        .and_then(|(cipher, encrypted)| cipher.decrypt(job.id, encrypted))
        .ok_or(SecretsRemoved)
}
