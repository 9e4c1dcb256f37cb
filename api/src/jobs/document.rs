//! What clients send about jobs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use media_shared::job::{Signal, arguments::RawImportArguments};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

/// The type of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
pub(super) enum JobType {
    /// The only one.
    #[oai(rename = "media:jobs")]
    #[serde(rename = "media:jobs")]
    Jobs,
}

/// A request to enter a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJobDocument", example)]
pub(super) struct NewJobDocument {
    /// The job.
    pub(super) data: NewJobResource,
}

/// A job to be entered.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJob")]
pub(super) struct NewJobResource {
    /// Always `media:jobs`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub(super) kind: JobType,
    /// Must not be given: the service names its jobs itself.
    #[oai(skip)]
    pub(super) id: Option<serde_json::Value>,
    /// What is asked for.
    pub(super) attributes: NewJobAttributes,
}

/// What is asked for.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewJobAttributes")]
#[serde(deny_unknown_fields)]
pub(super) struct NewJobAttributes {
    /// The kind of work: `media:import`.
    #[oai(validator(pattern = "^media:import$"))]
    pub(super) job_class: String,
    /// -100 to 100, higher first; default 0.
    #[oai(nullable, validator(minimum(value = "-100"), maximum(value = "100")))]
    pub(super) priority: Option<i64>,
    /// At most one unfinished job holds a given value; a second request gets the existing job.
    #[oai(nullable, validator(min_length = 1, max_length = 255))]
    pub(super) unicity: Option<String>,
    /// Not before this time: RFC 3339 with a zone.
    #[oai(nullable)]
    #[serde(default, deserialize_with = "crate::time::deserialize")]
    pub(super) scheduled_at: Option<DateTime<Utc>>,
    /// Attempts beyond the first, 0 to 100; default 5.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "100")))]
    pub(super) max_retries: Option<i32>,
    /// The project that the job and its media belong to, one of the token's; where that names only
    /// one, it is that one.
    #[oai(nullable, validator(max_length = 255))]
    pub(super) project_id: Option<String>,
    /// What to import.
    pub(super) arguments: NewImportArguments,
}

/// What to import.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "NewImportArguments")]
#[serde(deny_unknown_fields)]
pub(super) struct NewImportArguments {
    /// Where the bytes are: http or https.
    url: String,
    /// Where to keep the media: 1 to 255 bytes, no slash.
    #[oai(validator(min_length = 1, max_length = 255))]
    resource: String,
    /// Where within the resource; with the resource it names one media, which is replaced.
    #[oai(nullable, validator(min_length = 1, max_length = 255))]
    key: Option<String>,
    /// The name to keep it under, instead of the origin's.
    #[oai(nullable, validator(min_length = 1, max_length = 255))]
    filename: Option<String>,
    /// Whether anyone may download it; default false.
    #[oai(nullable)]
    public: Option<bool>,
    /// What the bytes must hash to: 64 hexadecimal digits.
    #[oai(nullable, validator(pattern = "^[0-9a-fA-F]{64}$"))]
    sha256: Option<String>,
    /// How many bytes there must be.
    #[oai(nullable, validator(minimum(value = "0")))]
    size: Option<i64>,
    /// Sent to the first origin only, never after a redirect to another; never shown again.
    #[oai(nullable)]
    headers: Option<BTreeMap<String, String>>,
    /// The most bytes to accept.
    #[oai(nullable, validator(minimum(value = "1")))]
    max_bytes: Option<i64>,
    /// What the bytes may be, such as `image/png` or `image/*`, as the bytes themselves say, then the
    /// origin, then the name; anything by default. Other bytes fail with `type_not_allowed`.
    #[oai(nullable, validator(min_items = 1, max_items = 32))]
    accept_types: Option<Vec<String>>,
}

impl poem_openapi::types::Example for NewJobDocument {
    fn example() -> Self {
        Self {
            data: NewJobResource {
                kind: JobType::Jobs,
                id: None,
                attributes: NewJobAttributes {
                    job_class: "media:import".to_owned(),
                    priority: Some(10),
                    unicity: None,
                    scheduled_at: None,
                    max_retries: None,
                    project_id: None,
                    arguments: NewImportArguments {
                        url: "https://origin.example/portrait.jpg".to_owned(),
                        resource: "avatars".to_owned(),
                        key: Some("42".to_owned()),
                        ..NewImportArguments::default()
                    },
                },
            },
        }
    }
}

impl From<NewImportArguments> for RawImportArguments {
    fn from(new: NewImportArguments) -> Self {
        Self {
            url: new.url,
            resource: new.resource,
            key: new.key,
            filename: new.filename,
            public: new.public,
            sha256: new.sha256,
            size: new.size,
            headers: new.headers,
            max_bytes: new.max_bytes,
            accept_types: new.accept_types,
        }
    }
}

/// A request to change a job that waits.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "JobChangeDocument", example)]
pub(super) struct JobChangeDocument {
    /// The job.
    pub(super) data: JobChangeResource,
}

/// A job to be changed.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "JobChange")]
pub(super) struct JobChangeResource {
    /// Always `media:jobs`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub(super) kind: JobType,
    /// The job's id.
    pub(super) id: Uuid,
    /// What changes; what is not named stays.
    #[serde(default)]
    pub(super) attributes: Option<JobChangeAttributes>,
}

/// What changes of a job that waits.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "JobChangeAttributes")]
#[serde(deny_unknown_fields)]
pub(super) struct JobChangeAttributes {
    /// -100 to 100, higher first.
    #[oai(nullable, validator(minimum(value = "-100"), maximum(value = "100")))]
    pub(super) priority: Option<i64>,
    /// Not before this time: RFC 3339 with a zone; null for at once.
    #[oai(nullable)]
    #[serde(default, deserialize_with = "present")]
    pub(super) scheduled_at: Option<ScheduledAt>,
}

/// A time, or null for none.
pub(super) type ScheduledAt = poem_openapi::types::MaybeUndefined<DateTime<Utc>>;

/// Tells null from not named.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ScheduledAt>, D::Error> {
    Ok(Some(match crate::time::deserialize(deserializer)? {
        Some(time) => ScheduledAt::Value(time),
        None => ScheduledAt::Null,
    }))
}

/// A request to signal a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "SignalDocument", example)]
pub(super) struct SignalDocument {
    /// The signal.
    pub(super) data: SignalResource,
}

/// A signal to a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "Signal")]
pub(super) struct SignalResource {
    /// Always `media:signals`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    pub(super) kind: SignalType,
    /// What to do.
    pub(super) attributes: SignalAttributes,
}

/// The type of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
pub(super) enum SignalType {
    /// The only one.
    #[oai(rename = "media:signals")]
    #[serde(rename = "media:signals")]
    Signals,
}

/// What to do with a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "SignalAttributes")]
#[serde(deny_unknown_fields)]
pub(super) struct SignalAttributes {
    /// `cancel` ends it, `pause` holds it, `resume` lets it go on, `retry` starts an ended one anew.
    pub(super) signal: SignalName,
}

/// The signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum SignalName {
    /// Ends the job for good.
    Cancel,
    /// Holds the job until `resume`.
    Pause,
    /// Lets a paused job go on.
    Resume,
    /// Starts an ended job anew.
    Retry,
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Cancel => Self::Cancel,
            SignalName::Pause => Self::Pause,
            SignalName::Resume => Self::Resume,
            SignalName::Retry => Self::Retry,
        }
    }
}

impl poem_openapi::types::Example for SignalDocument {
    fn example() -> Self {
        Self {
            data: SignalResource {
                kind: SignalType::Signals,
                attributes: SignalAttributes {
                    signal: SignalName::Cancel,
                },
            },
        }
    }
}

impl poem_openapi::types::Example for JobChangeDocument {
    fn example() -> Self {
        Self {
            data: JobChangeResource {
                kind: JobType::Jobs,
                id: Uuid::from_u128(0x01a2_09d3_ac64_703f_91dc_9aff_cb76_ba68),
                attributes: Some(JobChangeAttributes {
                    priority: Some(50),
                    scheduled_at: None,
                }),
            },
        }
    }
}
