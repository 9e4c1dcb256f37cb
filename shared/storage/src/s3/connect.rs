//! The S3 client, configured by the environment variables and files of the AWS SDK.

use std::{env, time::Duration};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider,
    identity::IdentityCache, meta::region::RegionProviderChain, profile::ProfileFileRegionProvider,
    retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_sdk_s3::{
    Client,
    config::{RequestChecksumCalculation, ResponseChecksumValidation},
};
use aws_smithy_http_client::{
    Builder,
    tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode},
};

use super::checksum::BodyChecksum;
use crate::{S3Location, StorageError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout of one attempt of a small request.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The number of attempts of a request. Longer outages are covered by the retries of the job.
const MAX_ATTEMPTS: u32 = 4;
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// The timeout of the search for credentials, whose last step is the machine's metadata service.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for which the transfer of a body may stall.
const STALL_GRACE_PERIOD: Duration = Duration::from_secs(20);

/// Creates the client. No request is sent.
pub(super) async fn client(location: &S3Location) -> Result<Client, StorageError> {
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(Region::new("us-east-1"));
    let sdk = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client()?)
        .region(region)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(MAX_ATTEMPTS)
                .with_max_backoff(MAX_BACKOFF),
        )
        .timeout_config(timeouts(ATTEMPT_TIMEOUT))
        .identity_cache(
            IdentityCache::lazy()
                .load_timeout(CREDENTIALS_TIMEOUT)
                .build(),
        )
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled()
                .grace_period(STALL_GRACE_PERIOD)
                .build(),
        )
        // The writer sends the checksums itself.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(response_checksums()?)
        .load()
        .await;
    let path_style = location.path_style.unwrap_or_else(|| endpoint().is_some());
    let configuration = aws_sdk_s3::config::Builder::from(&sdk)
        .force_path_style(path_style)
        .build();
    Ok(Client::from_conf(configuration))
}

/// The checksum that requests with a body carry (`AWS_REQUEST_CHECKSUM_CALCULATION`): CRC-32 by default, which some
/// stores refuse, or Content-MD5 with `when_required`.
pub(super) fn body_checksum() -> Result<BodyChecksum, StorageError> {
    match checksum_setting("AWS_REQUEST_CHECKSUM_CALCULATION")?.as_deref() {
        None | Some("when_supported") => Ok(BodyChecksum::Crc32),
        _ => Ok(BodyChecksum::Md5),
    }
}

/// The checksums of responses that are validated (`AWS_RESPONSE_CHECKSUM_VALIDATION`). The default is only the
/// required ones: ranges are read, for which most stores have no checksum and some send that of the whole object.
/// The stored bytes are verified against the SHA-256 of the media.
fn response_checksums() -> Result<ResponseChecksumValidation, StorageError> {
    match checksum_setting("AWS_RESPONSE_CHECKSUM_VALIDATION")?.as_deref() {
        Some("when_supported") => Ok(ResponseChecksumValidation::WhenSupported),
        _ => Ok(ResponseChecksumValidation::WhenRequired),
    }
}

/// Reads a variable whose value is `when_supported` or `when_required`.
fn checksum_setting(name: &str) -> Result<Option<String>, StorageError> {
    let Some(value) = env::var(name).ok().filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.to_ascii_lowercase();
    if ["when_supported", "when_required"].contains(&value.as_str()) {
        Ok(Some(value))
    } else {
        Err(StorageError::Refused(format!(
            "{name} must be when_supported or when_required"
        )))
    }
}

/// The configuration that limits each attempt of a request to `attempt`.
pub(super) fn with_attempt_timeout(attempt: Duration) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts(attempt))
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .build()
}

/// The endpoint that the environment sets, in the SDK's order of precedence.
fn endpoint() -> Option<String> {
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .iter()
        .find_map(|name| env::var(name).ok())
        .filter(|url| !url.is_empty())
}

fn http_client() -> Result<aws_sdk_s3::config::SharedHttpClient, StorageError> {
    let refuse = |error: &dyn std::error::Error| StorageError::Refused(error.to_string());
    let authorities = media_tls::authorities_as_pem().map_err(|error| refuse(&error))?;
    let trusted = TrustStore::empty().with_pem_certificate(authorities);
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| refuse(&error))?;
    Ok(Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}
