//! Uploads: a form whose file goes straight to storage as it comes, never whole into memory, never
//! into a temporary file first.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use media_shared::{
    blob_ledger::{BlobLedger, BlobOwner},
    entities::media,
    intake::{Expectation, Intake, IntakeError, Sealed},
    media::{Filename, MediaPath, Sha256},
    media_ledger::{Creator, NewMedia, PublishError},
    media_type,
    services::Services,
};
use multer::{Constraints, Field, Multipart, SizeLimit};
use poem::{Body, Request, RequestBody, Result, http::header};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{ParsePayload, Payload},
    registry::{MetaSchema, MetaSchemaRef},
};
use tokio::time::{Instant, timeout};

use crate::jsonapi::{ApiError, ErrorCode};

/// The field that carries the file.
const FILE_FIELD: &str = "media";
/// The longest value of any other field, in bytes.
const MAX_FIELD_BYTES: u64 = 1024;
/// What the frame of a form may add to the file and the fields.
const MAX_FRAME_BYTES: u64 = 64 * 1024;

/// A form to be read, part by part.
pub(super) struct UploadForm {
    body: Body,
    boundary: String,
    /// `Content-Length`, if the client knows it.
    announced: Option<u64>,
}

/// Takes uploads.
pub(super) struct Uploads {
    services: Arc<Services>,
    max_bytes: u64,
    stall: Duration,
}

/// What the fields before the file say.
#[derive(Default)]
struct Fields {
    public: bool,
    filename: Option<Filename>,
    sha256: Option<Sha256>,
    size: Option<u64>,
}

impl Uploads {
    pub(super) fn new(services: Arc<Services>, max_bytes: u64, stall: Duration) -> Self {
        Self {
            services,
            max_bytes,
            stall,
        }
    }

    /// Reads a form, keeps its file and records it.
    pub(super) async fn take(
        &self,
        path: MediaPath,
        form: UploadForm,
    ) -> Result<media::Model, ApiError> {
        let mut parts = form.open(self.max_bytes)?;
        let mut fields = Fields::default();
        loop {
            let Some(part) = self.next_part(&mut parts).await? else {
                return Err(missing_file());
            };
            if part.name() == Some(FILE_FIELD) {
                let new = self.take_file(path, fields, part).await?;
                return self.record(new, &mut parts).await;
            }
            fields.read(self.limited(part_text(part)).await?)?;
        }
    }

    async fn take_file(
        &self,
        path: MediaPath,
        fields: Fields,
        part: Field<'static>,
    ) -> Result<NewMedia, ApiError> {
        let declared = part
            .content_type()
            .map(|mime| mime.essence_str().to_owned());
        let filename = fields
            .filename
            .clone()
            .or_else(|| part.file_name().and_then(Filename::from_untrusted));
        let sealed = self.store(&fields, part).await?;
        let extension = filename.as_ref().and_then(Filename::extension);
        let media_type = media_type::detect(&sealed.head, declared.as_deref(), extension);
        Ok(NewMedia {
            path,
            filename: filename.unwrap_or_else(Filename::download),
            mime_type: media_type.mime,
            size: sealed.size,
            sha256: sealed.sha256,
            public: fields.public,
            source_url: None,
            creator: Creator::default(),
            blob_id: sealed.blob_id,
        })
    }

    /// Streams the file into storage.
    async fn store(&self, fields: &Fields, mut part: Field<'static>) -> Result<Sealed, ApiError> {
        let expectation = Expectation {
            max_bytes: self.max_bytes,
            size: fields.size,
            sha256: fields.sha256,
        };
        let Services { blobs, store, .. } = &*self.services;
        let mut intake = Intake::open(blobs, store, BlobOwner::Upload, expectation).await?;
        let mut renewed = Instant::now();
        loop {
            let step = async {
                let Some(chunk) = self.limited(part_chunk(&mut part)).await? else {
                    return Ok(false);
                };
                intake.write(chunk).await?;
                if renewed.elapsed() >= BlobLedger::renew_every() {
                    blobs.renew(intake.blob_id()).await?;
                    renewed = Instant::now();
                }
                Ok(true)
            };
            match step.await {
                Ok(true) => {}
                Ok(false) => return Ok(intake.seal().await?),
                Err(error) => {
                    given_up(intake.abandon().await);
                    return Err(error);
                }
            }
        }
    }

    /// Records the file, if the form ends well after it.
    async fn record(
        &self,
        new: NewMedia,
        parts: &mut Multipart<'static>,
    ) -> Result<media::Model, ApiError> {
        let blob_id = new.blob_id;
        let recorded = match self.next_part(parts).await {
            Ok(None) => self.services.medias.publish(new).await.map_err(unpublished),
            Ok(Some(part)) => Err(ApiError::at_pointer(
                ErrorCode::InvalidValue,
                pointer_to(part.name()),
                "nothing may come after the field `media`; put it before",
            )),
            Err(error) => Err(error),
        };
        if recorded.is_err() {
            given_up(self.services.blobs.discard(blob_id).await);
        }
        recorded
    }

    async fn next_part(
        &self,
        parts: &mut Multipart<'static>,
    ) -> Result<Option<Field<'static>>, ApiError> {
        self.limited(async { parts.next_field().await.map_err(|error| unreadable(&error)) })
            .await
    }

    /// Ends a wait for the client's bytes that takes too long.
    async fn limited<T>(
        &self,
        wait: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        timeout(self.stall, wait).await.unwrap_or_else(|_| {
            Err(ApiError::new(
                ErrorCode::Stalled,
                format!("no byte came for {:?}", self.stall),
            ))
        })
    }
}

/// The collector finds the blob without this, only later.
fn given_up(discarded: Result<(), sea_orm::DbErr>) {
    if let Err(error) = discarded {
        tracing::warn!(%error, "a broken upload's blob is left to the collector");
    }
}

async fn part_chunk(part: &mut Field<'static>) -> Result<Option<Bytes>, ApiError> {
    part.chunk().await.map_err(|error| unreadable(&error))
}

async fn part_text(part: Field<'static>) -> Result<(String, Bytes), ApiError> {
    let name = part.name().unwrap_or_default().to_owned();
    let value = part.bytes().await.map_err(|error| unreadable(&error))?;
    Ok((name, value))
}

impl Fields {
    fn read(&mut self, (name, value): (String, Bytes)) -> Result<(), ApiError> {
        let invalid = |detail: String| {
            ApiError::at_pointer(
                ErrorCode::InvalidValue,
                pointer_to(Some(&name)),
                format!("`{name}` {detail}"),
            )
        };
        let text = std::str::from_utf8(&value).map_err(|_| invalid("is not UTF-8".to_owned()))?;
        match name.as_str() {
            "public" => {
                self.public = text
                    .parse()
                    .map_err(|_| invalid("must be `true` or `false`".to_owned()))?;
            }
            "filename" => {
                let name = Filename::new(text).map_err(|error| invalid(error.to_string()))?;
                self.filename = Some(name);
            }
            "sha256" => {
                let digest = Sha256::from_hex(text).map_err(|error| invalid(error.to_string()))?;
                self.sha256 = Some(digest);
            }
            "size" => {
                let size = text
                    .parse()
                    .map_err(|_| invalid("must be a number of bytes".to_owned()))?;
                self.size = Some(size);
            }
            _ => return Err(invalid("is not a field of this form".to_owned())),
        }
        Ok(())
    }
}

impl UploadForm {
    /// Starts to read; a form that announces more than is taken is refused before its first byte.
    fn open(self, max_bytes: u64) -> Result<Multipart<'static>, ApiError> {
        let limit = max_bytes.saturating_add(MAX_FRAME_BYTES);
        if self.announced.is_some_and(|length| length > limit) {
            return Err(IntakeError::TooLarge { limit: max_bytes }.into());
        }
        let limits = SizeLimit::new()
            .whole_stream(limit)
            .per_field(MAX_FIELD_BYTES)
            // The intake limits the file itself, and says so in its own words.
            .for_field(FILE_FIELD, u64::MAX);
        Ok(Multipart::with_constraints(
            self.body.into_bytes_stream(),
            self.boundary,
            Constraints::new().size_limit(limits),
        ))
    }
}

fn missing_file() -> ApiError {
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        format!("/{FILE_FIELD}"),
        "the form needs a file field named `media`",
    )
}

fn pointer_to(name: Option<&str>) -> String {
    let name: String = name.unwrap_or_default().chars().take(64).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn unpublished(error: PublishError) -> ApiError {
    match error {
        PublishError::Database(error) => error.into(),
        PublishError::BlobLost => ApiError::internal("upload", &error),
    }
}

fn unreadable(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::FieldSizeExceeded { field_name, .. } => ApiError::at_pointer(
            ErrorCode::InvalidValue,
            pointer_to(field_name.as_deref()),
            format!("must not be longer than {MAX_FIELD_BYTES} bytes"),
        ),
        multer::Error::StreamSizeExceeded { limit } => ApiError::new(
            ErrorCode::TooLarge,
            format!("the form is larger than the {limit} bytes allowed"),
        ),
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders
        | multer::Error::StreamReadFailed(_) => ApiError::new(
            ErrorCode::IncompleteBody,
            "the form ended before it was whole; nothing was kept",
        ),
        error => ApiError::new(
            ErrorCode::MalformedBody,
            format!("the form cannot be read: {error}"),
        ),
    }
}

impl Payload for UploadForm {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn check_content_type(content_type: &str) -> bool {
        parse_net::media::parse(content_type.as_bytes(), &parse_net::Limits::DEFAULT)
            .is_ok_and(|parsed| parsed.is_multipart_form_data())
    }

    fn schema_ref() -> MetaSchemaRef {
        let described = |schema: MetaSchema, description| {
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some(description),
                ..schema
            }))
        };
        let text = || MetaSchema::new("string");
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            required: vec![FILE_FIELD],
            properties: vec![
                (
                    "public",
                    described(
                        MetaSchema::new("boolean"),
                        "Whether anyone may download it; before `media`",
                    ),
                ),
                (
                    "filename",
                    described(text(), "The name to keep it under; before `media`"),
                ),
                (
                    "sha256",
                    described(text(), "What the bytes must hash to; before `media`"),
                ),
                (
                    "size",
                    described(
                        MetaSchema::new_with_format("integer", "int64"),
                        "How many bytes there must be; before `media`",
                    ),
                ),
                (
                    FILE_FIELD,
                    described(
                        MetaSchema::new_with_format("string", "binary"),
                        "The file; the last field",
                    ),
                ),
            ],
            ..MetaSchema::new("object")
        }))
    }
}

impl ParsePayload for UploadForm {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let boundary = multer::parse_boundary(request.content_type().unwrap_or_default())
            .map_err(|error| unreadable(&error))?;
        let announced = request
            .header(header::CONTENT_LENGTH)
            .and_then(|length| length.parse().ok());
        Ok(Self {
            body: body.take()?,
            boundary,
            announced,
        })
    }
}

impl_apirequest_for_payload!(UploadForm,);
