//! Uploads: a form whose file goes straight to storage as it comes, never whole into memory, never
//! into a temporary file first.

use std::{sync::Arc, time::Duration};

use media_shared::{
    blob_ledger::{BlobLedger, BlobOwner, StagedBlob},
    blob_store::BlobStore,
    entities::media,
    ids::BlobId,
    intake::{Expectation, Intake, IntakeError, Sealed},
    media::{Filename, MediaPath, Sha256, WritePrecondition},
    media_ledger::{Creator, NewMedia, PublishError},
    media_metadata, media_type,
    metrics::{Stored, figures},
    services::Services,
};
use poem::{Body, Request, RequestBody, Result, http::header};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{ParsePayload, Payload},
    registry::{MetaSchema, MetaSchemaRef},
};
use tokio::time::{sleep, timeout};

use crate::{
    jsonapi::{ApiError, ErrorCode},
    multipart::{self, MAX_FRAME_BYTES, Multipart, MultipartError, PartHead},
};

/// The field that carries the file.
const FILE_FIELD: &str = "media";
/// The longest value of any other field, in bytes.
const MAX_FIELD_BYTES: usize = 1024;
/// How many renewals of an upload's blob in a row may fail before it is given up: fewer than its hold
/// outlasts.
const MISSED_RENEWALS: u32 = 2;

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

/// A form that is being read.
struct Parts {
    form: Multipart,
    /// How large the file is at least, if the client has said how large the form is.
    least: Option<u64>,
}

/// The place of an upload, and who puts it there.
pub(super) struct Place {
    pub(super) path: MediaPath,
    pub(super) creator: Creator,
    /// The condition on what is there already.
    pub(super) condition: WritePrecondition,
}

/// What is known of the file before its bytes.
struct Described {
    fields: Fields,
    filename: Option<Filename>,
    declared: Option<String>,
}

impl Described {
    fn of(mut fields: Fields, part: PartHead) -> Self {
        Self {
            filename: fields.filename.take().or(part.names.filename),
            declared: part.content_type,
            fields,
        }
    }

    async fn with(
        self,
        Place { path, creator, .. }: Place,
        sealed: &Sealed,
        store: &Arc<dyn BlobStore>,
    ) -> NewMedia {
        let extension = self.filename.as_ref().and_then(Filename::extension);
        let media_type = media_type::detect(&sealed.head, self.declared.as_deref(), extension);
        NewMedia {
            path,
            filename: self.filename.unwrap_or_else(Filename::download),
            metadata: media_metadata::read(store, sealed, &media_type.mime).await,
            mime_type: media_type.mime,
            charset: media_type.charset,
            size: sealed.size,
            sha256: sealed.sha256,
            public: self.fields.public,
            source_url: None,
            creator,
            blob_id: sealed.blob_id,
        }
    }
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
        place: Place,
        form: UploadForm,
    ) -> Result<media::Model, ApiError> {
        let mut parts = form.open(self.max_bytes)?;
        let mut fields = Fields::default();
        loop {
            let Some(part) = self.next_part(&mut parts).await? else {
                return Err(missing_file());
            };
            if part.names.name.as_deref() == Some(FILE_FIELD) {
                return self.take_file(place, fields, part, &mut parts).await;
            }
            let name = part.names.name.unwrap_or_default();
            Fields::check_name(&name)?;
            let value = self.limited(field_value(&name, &mut parts.form)).await?;
            fields.read(&name, &value)?;
        }
    }

    async fn take_file(
        &self,
        place: Place,
        fields: Fields,
        part: PartHead,
        parts: &mut Parts,
    ) -> Result<media::Model, ApiError> {
        let expectation = Expectation {
            max_bytes: self.max_bytes,
            size: fields.size,
            sha256: fields.sha256,
        };
        let Services { blobs, store, .. } = &*self.services;
        let owner = (BlobOwner::Upload, place.creator.project_id.as_deref());
        // What cannot fit is refused before its first byte.
        let announced = fields.size.or(parts.least);
        let intake = Intake::open(blobs, store, owner, expectation, announced).await?;
        let blob = intake.blob().clone();
        let keep = async {
            let described = Described::of(fields, part);
            let sealed = self.store(intake, &mut parts.form).await?;
            let condition = place.condition.clone();
            let new = described.with(place, &sealed, &self.services.store).await;
            self.record(new, condition, &blob, parts).await
        };
        tokio::select! {
            kept = keep => kept,
            lost = self.renew(blob.id) => {
                // It may have been forgotten already, and a request of ours still be under way.
                self.disown(&blob).await;
                Err(lost)
            }
        }
    }

    async fn disown(&self, blob: &StagedBlob) {
        if let Err(error) = self.services.blobs.disown(blob).await {
            tracing::warn!(%error, "a broken upload's blob is left to the collector");
        }
    }

    /// Keeps the blob from the collector for as long as the upload takes. Ends only if it is lost.
    async fn renew(&self, blob_id: BlobId) -> ApiError {
        let mut missed = 0;
        loop {
            sleep(BlobLedger::renew_every()).await;
            match self.services.blobs.renew(blob_id).await {
                Ok(true) => missed = 0,
                Ok(false) => return given_up_on(),
                // The blob is held for a few rounds more.
                Err(error) if missed < MISSED_RENEWALS => {
                    missed += 1;
                    tracing::warn!(%error, "an upload's blob was not renewed");
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// Streams the file into storage.
    async fn store(&self, mut intake: Intake, form: &mut Multipart) -> Result<Sealed, ApiError> {
        loop {
            let chunk = async { form.chunk().await.map_err(|error| unreadable(&error)) };
            let written = match self.limited(chunk).await {
                Ok(None) => return Ok(intake.seal().await?),
                Ok(Some(chunk)) => intake.write(chunk).await.map_err(ApiError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                intake.abandon().await;
                return Err(error);
            }
        }
    }

    /// Records the file, if the form ends well after it.
    async fn record(
        &self,
        new: NewMedia,
        condition: WritePrecondition,
        blob: &StagedBlob,
        parts: &mut Parts,
    ) -> Result<media::Model, ApiError> {
        let recorded = match self.next_part(parts).await {
            Ok(None) => self
                .services
                .medias
                .publish_if(new, condition)
                .await
                .map_err(ApiError::from),
            Ok(Some(part)) => Err(ApiError::at_pointer(
                ErrorCode::InvalidValue,
                pointer_to(&part.names.name.unwrap_or_default()),
                "nothing may come after the field `media`; put it before",
            )),
            Err(error) => Err(error),
        };
        match &recorded {
            Ok(media) => figures().stored(Stored::Upload, media.size.unsigned_abs()),
            Err(_) => self.disown(blob).await,
        }
        recorded
    }

    async fn next_part(&self, parts: &mut Parts) -> Result<Option<PartHead>, ApiError> {
        let form = &mut parts.form;
        self.limited(async { form.next_part().await.map_err(|error| unreadable(&error)) })
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

/// The value of a field that is no file.
async fn field_value(name: &str, form: &mut Multipart) -> Result<Vec<u8>, ApiError> {
    let mut value = Vec::new();
    while let Some(chunk) = form.chunk().await.map_err(|error| unreadable(&error))? {
        value.extend_from_slice(&chunk);
        if value.len() > MAX_FIELD_BYTES {
            return Err(ApiError::at_pointer(
                ErrorCode::InvalidValue,
                pointer_to(name),
                format!("`{name}` must not be longer than {MAX_FIELD_BYTES} bytes"),
            ));
        }
    }
    Ok(value)
}

fn invalid_field(name: &str, detail: &str) -> ApiError {
    let shown: String = name.chars().take(64).collect();
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        pointer_to(name),
        format!("`{shown}` {detail}"),
    )
}

impl Fields {
    /// The fields before the file.
    const NAMES: [&'static str; 4] = ["public", "filename", "sha256", "size"];

    /// Refuses an unknown field by its name, before its value is read: it may be the file.
    fn check_name(name: &str) -> Result<(), ApiError> {
        if Self::NAMES.contains(&name) {
            return Ok(());
        }
        let detail = "is not a field of this form; the file goes into the field `media`";
        Err(invalid_field(name, detail))
    }

    fn read(&mut self, name: &str, value: &[u8]) -> Result<(), ApiError> {
        let invalid = |detail: String| invalid_field(name, &detail);
        let text = std::str::from_utf8(value).map_err(|_| invalid("is not UTF-8".to_owned()))?;
        match name {
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
            other => return Self::check_name(other),
        }
        Ok(())
    }
}

impl UploadForm {
    /// Starts to read; a form that announces more than is taken is refused before its first byte.
    fn open(self, max_bytes: u64) -> Result<Parts, ApiError> {
        let limit = max_bytes.saturating_add(MAX_FRAME_BYTES);
        if self.announced.is_some_and(|length| length > limit) {
            return Err(IntakeError::TooLarge { limit: max_bytes }.into());
        }
        // The intake limits the file itself, and says so in its own words.
        let form = Multipart::new(self.body.into_bytes_stream(), &self.boundary, limit);
        let least = self
            .announced
            .and_then(|length| length.checked_sub(MAX_FRAME_BYTES));
        Ok(Parts { form, least })
    }
}

fn missing_file() -> ApiError {
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        format!("/{FILE_FIELD}"),
        "the form needs a file field named `media`",
    )
}

fn pointer_to(name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn given_up_on() -> ApiError {
    PublishError::BlobLost.into()
}

fn unreadable(error: &MultipartError) -> ApiError {
    let (code, detail) = match error {
        MultipartError::Incomplete => (
            ErrorCode::IncompleteBody,
            format!("{error}; nothing was kept"),
        ),
        MultipartError::TooSlow(_) => (ErrorCode::Stalled, error.to_string()),
        MultipartError::FrameTooLarge => (
            ErrorCode::MalformedBody,
            format!("{error}; its boundary may be wrong"),
        ),
        MultipartError::TooLarge(_) => (ErrorCode::TooLarge, error.to_string()),
        MultipartError::BadBoundary => (
            ErrorCode::MalformedBody,
            format!("the form cannot be read: {error}"),
        ),
    };
    ApiError::new(code, detail)
}

impl Payload for UploadForm {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn check_content_type(content_type: &str) -> bool {
        multipart::is_form(content_type)
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
        let boundary = multipart::boundary(request.content_type().unwrap_or_default());
        let boundary = boundary.ok_or_else(|| {
            ApiError::new(
                ErrorCode::MalformedBody,
                "the form cannot be read: its Content-Type names no boundary",
            )
        })?;
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
