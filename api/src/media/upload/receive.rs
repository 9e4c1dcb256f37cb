//! Receives uploads: streams the file into storage, without a copy in memory or in a temporary file.

use std::{sync::Arc, time::Duration};

use media_database::{
    blob_repository::BlobRepository,
    entities::media,
    media_repository::{NewMedia, PublishError},
};
use media_domain::{
    blob::{BlobOwner, StagedBlob, StoredBlob},
    caller::Creator,
    ids::BlobId,
    media::{Filename, MediaPath, WritePrecondition},
};
use media_formats::{media_type, metadata};
use media_ingest::{Expectation, Ingest};
use media_services::Services;
use media_storage::BlobStore;
use media_telemetry::metrics::{Stored, metrics};
use tokio::time::{sleep, timeout};

use super::{
    fields::{FILE_FIELD, FormFields, missing_file, pointer_to},
    form::{OpenForm, UploadForm},
};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    multipart::{Multipart, MultipartError, PartHead},
};

/// The longest value of a field other than the file, in bytes.
const MAX_FIELD_BYTES: usize = 1024;
/// The most failed renewals in a row that an upload survives. Its blob stays reserved for longer than this takes.
const MAX_FAILED_RENEWALS: u32 = 2;

/// Receives uploads.
pub(crate) struct UploadReceiver {
    pub(in crate::media) services: Arc<Services>,
    pub(in crate::media) max_bytes: u64,
    /// The longest wait for the client's next bytes.
    pub(in crate::media) stall: Duration,
}

/// The media that an upload creates or replaces.
pub(super) struct Target {
    pub(super) path: MediaPath,
    pub(super) creator: Creator,
    /// The condition on the media that it replaces.
    pub(super) condition: WritePrecondition,
}

/// The facts about the file that the form states before its bytes.
struct FileDescription {
    fields: FormFields,
    filename: Option<Filename>,
    declared: Option<String>,
}

impl FileDescription {
    fn new(mut fields: FormFields, part: PartHead) -> Self {
        Self {
            filename: fields.filename.take().or(part.names.filename),
            declared: part.content_type,
            fields,
        }
    }

    async fn into_media(
        self,
        Target { path, creator, .. }: Target,
        sealed: &StoredBlob,
        store: &Arc<dyn BlobStore>,
    ) -> NewMedia {
        let extension = self.filename.as_ref().and_then(Filename::extension);
        let media_type = media_type::detect(&sealed.head, self.declared.as_deref(), extension);
        NewMedia {
            path,
            filename: self.filename.unwrap_or_else(Filename::download),
            metadata: metadata::read(store, sealed, &media_type.mime).await,
            mime_type: media_type.mime,
            charset: media_type.charset,
            size: sealed.size,
            sha256: sealed.sha256,
            public: self.fields.public,
            source_url: None,
            origin: None,
            meta: None,
            expires_at: None,
            creator,
            blob_id: sealed.blob_id,
        }
    }
}

impl UploadReceiver {
    /// Parses a form, stores its file and creates the media's record.
    pub(super) async fn receive(
        &self,
        target: Target,
        form: UploadForm,
    ) -> Result<media::Model, ApiError> {
        let mut form = form.open(self.max_bytes)?;
        let mut fields = FormFields::default();
        loop {
            let Some(part) = self.next_part(&mut form).await? else {
                return Err(missing_file());
            };
            if part.names.name.as_deref() == Some(FILE_FIELD) {
                return self.take_file(target, fields, part, &mut form).await;
            }
            let name = part.names.name.unwrap_or_default();
            FormFields::check_name(&name)?;
            let value = self.limited(field_value(&name, &mut form.parts)).await?;
            fields.read(&name, &value)?;
        }
    }

    async fn take_file(
        &self,
        target: Target,
        fields: FormFields,
        part: PartHead,
        form: &mut OpenForm,
    ) -> Result<media::Model, ApiError> {
        let expectation = Expectation {
            max_bytes: self.max_bytes,
            size: fields.size,
            sha256: fields.sha256,
            sha512: None,
            md5: None,
        };
        let Services { blobs, store, .. } = &*self.services;
        let owner = (BlobOwner::Upload, target.creator.project_id.as_deref());
        // A file that would exceed a limit is rejected before its first byte.
        let announced = fields.size.or(form.min_file_bytes);
        let ingest = Ingest::open(blobs, store, owner, expectation, announced).await?;
        let blob = ingest.blob().clone();
        let store = async {
            let described = FileDescription::new(fields, part);
            let sealed = self.store(ingest, &mut form.parts).await?;
            let condition = target.condition.clone();
            let new = described
                .into_media(target, &sealed, &self.services.store)
                .await;
            self.record(new, condition, &blob, form).await
        };
        tokio::select! {
            stored = store => stored,
            lost = self.renew(blob.id) => {
                // The collector may have deleted the blob while a request to storage was in progress.
                self.abandon(&blob).await;
                Err(lost)
            }
        }
    }

    async fn abandon(&self, blob: &StagedBlob) {
        if let Err(error) = self.services.blobs.abandon_stale(blob).await {
            tracing::warn!(%error, "the blob of a failed upload is left to the collector");
        }
    }

    /// Renews the reservation of the blob during the upload. Returns only when the blob is lost.
    async fn renew(&self, blob_id: BlobId) -> ApiError {
        let mut failures = 0;
        loop {
            sleep(BlobRepository::renew_every()).await;
            match self.services.blobs.renew(blob_id).await {
                Ok(true) => failures = 0,
                Ok(false) => return PublishError::BlobLost.into(),
                Err(error) if failures < MAX_FAILED_RENEWALS => {
                    failures += 1;
                    tracing::warn!(%error, "the blob of an upload was not renewed");
                }
                Err(error) => return error.into(),
            }
        }
    }

    /// Streams the file into storage.
    async fn store(
        &self,
        mut ingest: Ingest,
        form: &mut Multipart,
    ) -> Result<StoredBlob, ApiError> {
        loop {
            let chunk = async { form.chunk().await.map_err(ApiError::from) };
            let written = match self.limited(chunk).await {
                Ok(None) => return Ok(ingest.finish().await?),
                Ok(Some(chunk)) => ingest.write(chunk).await.map_err(ApiError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                ingest.abandon().await;
                return Err(error);
            }
        }
    }

    /// Creates the media's record, if the form ends after the file.
    async fn record(
        &self,
        new: NewMedia,
        condition: WritePrecondition,
        blob: &StagedBlob,
        form: &mut OpenForm,
    ) -> Result<media::Model, ApiError> {
        let recorded = match self.next_part(form).await {
            Ok(None) => self
                .services
                .medias
                .publish_if(new, condition)
                .await
                .map_err(ApiError::from),
            Ok(Some(part)) => Err(ApiError::at_pointer(
                ErrorCode::InvalidValue,
                pointer_to(&part.names.name.unwrap_or_default()),
                "fields must come before the field `media`",
            )),
            Err(error) => Err(error),
        };
        match &recorded {
            Ok(media) => metrics().stored(Stored::Upload, media.size.unsigned_abs()),
            Err(_) => self.abandon(blob).await,
        }
        recorded
    }

    async fn next_part(&self, form: &mut OpenForm) -> Result<Option<PartHead>, ApiError> {
        let parts = &mut form.parts;
        self.limited(async { parts.next_part().await.map_err(ApiError::from) })
            .await
    }

    /// Limits a wait for the client's bytes.
    async fn limited<T>(
        &self,
        wait: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        timeout(self.stall, wait).await.unwrap_or_else(|_| {
            Err(ApiError::new(
                ErrorCode::Stalled,
                format!("no byte arrived for {:?}", self.stall),
            ))
        })
    }
}

/// Receives the value of a field other than the file.
async fn field_value(name: &str, form: &mut Multipart) -> Result<Vec<u8>, ApiError> {
    let mut value = Vec::new();
    while let Some(chunk) = form.chunk().await? {
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

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        let (code, detail) = match &error {
            MultipartError::Incomplete => (
                ErrorCode::IncompleteBody,
                format!("{error}; nothing was stored"),
            ),
            MultipartError::TooSlow(_) => (ErrorCode::Stalled, error.to_string()),
            MultipartError::OverheadTooLarge => (
                ErrorCode::MalformedBody,
                format!("{error}; its boundary may be wrong"),
            ),
            MultipartError::TooLarge(_) => (ErrorCode::TooLarge, error.to_string()),
            MultipartError::BadBoundary => (
                ErrorCode::MalformedBody,
                format!("the form cannot be parsed: {error}"),
            ),
        };
        Self::new(code, detail)
    }
}
