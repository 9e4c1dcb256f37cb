//! Receives uploads: streams the file into storage, without a copy in memory or in a temporary file.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use media_database::{
    blob_repository::BlobRepository,
    entities::media,
    media_repository::{NewMedia, PublishError},
};
use media_domain::{
    blob::{BlobOwner, StagedBlob, StoredBlob},
    caller::Creator,
    ids::BlobId,
    job::MediaRange,
    media::{ExpectedDigests, Filename, MAX_META_BYTES, MediaPath, WritePrecondition},
    permissions::ProjectSelector,
};
use media_formats::{media_type, metadata};
use media_ingest::{Expectation, Ingest, IngestError};
use media_services::Services;
use media_storage::BlobStore;
use media_telemetry::metrics::{Stored, metrics};
use tokio::time::{sleep, timeout};

use super::{
    digests,
    fields::{
        FormFields, META_FIELD, contradicting_sha256, is_file, missing_file, pointer_to,
        second_file,
    },
    form::UploadForm,
    raw::RawFile,
};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    multipart::{Multipart, MultipartError, PartHead},
};

/// The longest value of a field other than the file and `meta`, in bytes.
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
pub(in crate::media) struct Target {
    pub(super) path: MediaPath,
    pub(super) creator: Creator,
    /// The condition on the media that it replaces.
    pub(super) condition: WritePrecondition,
    /// The most bytes of the file.
    pub(super) max_bytes: u64,
    /// The types of files that are accepted; all if there is none.
    pub(super) accept_types: Option<Vec<MediaRange>>,
    /// Whether the request may make the media public.
    pub(super) may_be_public: bool,
}

impl Target {
    fn check_type(&self, mime: &str) -> Result<(), ApiError> {
        let Some(accepted) = &self.accept_types else {
            return Ok(());
        };
        if accepted.iter().any(|range| range.covers(mime)) {
            return Ok(());
        }
        let accepted: Vec<&str> = accepted.iter().map(MediaRange::as_str).collect();
        Err(ApiError::new(
            ErrorCode::UnsupportedMediaType,
            format!(
                "the file is {mime}; this link accepts {}",
                accepted.join(", ")
            ),
        ))
    }

    fn check_public(&self, public: bool) -> Result<(), ApiError> {
        if public && !self.may_be_public {
            return Err(ApiError::new(
                ErrorCode::Forbidden,
                "an upload by a link cannot be public; its owner can make it so",
            ));
        }
        Ok(())
    }
}

/// The facts about the file that the request states.
struct FileDescription {
    fields: FormFields,
    /// The name of the file, if the fields have none.
    filename: Option<Filename>,
    declared: Option<String>,
    /// The digests in headers.
    digests: ExpectedDigests,
}

/// A form that was parsed up to the bytes of its file.
pub(super) struct FormAtFile {
    fields: FormFields,
    /// The headers of the file's part.
    file: PartHead,
    /// The smallest possible size of the file, if the client sends `Content-Length`.
    min_file_bytes: Option<u64>,
    rest: Multipart,
}

impl FormAtFile {
    /// The project that the fields before the file name.
    pub(super) fn project(&self) -> ProjectSelector {
        self.fields.project.clone()
    }
}

/// The rest of a request, which begins with the bytes of the file.
enum FileSource {
    /// A form, within the part with the file.
    Form(Box<Multipart>),
    /// The file alone.
    Raw(BoxStream<'static, io::Result<Bytes>>),
}

impl FileSource {
    /// The next bytes of the file.
    async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        match self {
            Self::Form(form) => Ok(form.chunk().await?),
            Self::Raw(body) => match body.next().await.transpose() {
                Ok(chunk) => Ok(chunk),
                Err(error) => Err(MultipartError::from(error).into()),
            },
        }
    }
}

impl FileDescription {
    /// The properties that the file must have, so far as the fields before it and the headers state them.
    fn expectation(&self, max_bytes: u64) -> Result<Expectation, ApiError> {
        let expectation = self.fields.expectation(max_bytes);
        let field = ExpectedDigests {
            sha256: expectation.sha256,
            ..ExpectedDigests::default()
        };
        let digests = field.and(self.digests).map_err(contradicting_sha256)?;
        Ok(expectation.with_digests(digests))
    }

    async fn into_media(
        self,
        target: Target,
        sealed: &StoredBlob,
        store: &Arc<dyn BlobStore>,
    ) -> Result<NewMedia, ApiError> {
        let filename = self.fields.filename.or(self.filename);
        let extension = filename.as_ref().and_then(Filename::extension);
        let media_type = media_type::detect(&sealed.head, self.declared.as_deref(), extension);
        target.check_type(&media_type.mime)?;
        Ok(NewMedia {
            path: target.path,
            filename: filename.unwrap_or_else(Filename::download),
            metadata: metadata::read(store, sealed, &media_type.mime).await,
            mime_type: media_type.mime,
            charset: media_type.charset,
            size: sealed.size,
            sha256: sealed.sha256,
            public: self.fields.public,
            source_url: None,
            origin: None,
            meta: self.fields.meta,
            expires_at: self.fields.expires_at,
            creator: target.creator,
            blob_id: sealed.blob_id,
        })
    }
}

impl UploadReceiver {
    /// Parses a form up to the bytes of its file. `target` is known unless the form may name the project.
    pub(super) async fn open_form(
        &self,
        form: UploadForm,
        target: Option<&Target>,
    ) -> Result<FormAtFile, ApiError> {
        let max_bytes = target.map_or(self.max_bytes, |target| target.max_bytes);
        let mut form = form.open(max_bytes)?;
        if let (Some(target), true) = (target, form.expects_continue) {
            self.check_room(target, form.min_file_bytes).await?;
        }
        let mut fields = FormFields::default();
        let file = self.read_fields(&mut form.parts, &mut fields).await?;
        Ok(FormAtFile {
            file: file.ok_or_else(missing_file)?,
            fields,
            min_file_bytes: form.min_file_bytes,
            rest: form.parts,
        })
    }

    /// Stores the file of a form and creates the media's record.
    pub(super) async fn receive_form(
        &self,
        target: Target,
        form: FormAtFile,
    ) -> Result<media::Model, ApiError> {
        let FormAtFile { fields, file, .. } = form;
        target.check_public(fields.public)?;
        fields.check_project(target.creator.project_id.as_deref())?;
        let pointer = pointer_to(file.names.name.as_deref().unwrap_or_default());
        let digests = digests::of_part(&file, &pointer)?;
        let announced = fields.size.or(form.min_file_bytes);
        let description = FileDescription {
            fields,
            filename: file.names.filename,
            declared: file.content_type,
            digests,
        };
        let source = FileSource::Form(Box::new(form.rest));
        Box::pin(self.take_file(target, description, announced, source)).await
    }

    /// Stores a file that is sent without a form, and creates the media's record.
    pub(in crate::media) async fn receive_raw(
        &self,
        target: Target,
        file: RawFile,
        public: bool,
    ) -> Result<media::Model, ApiError> {
        file.check_size(target.max_bytes)?;
        target.check_public(public)?;
        let last_segment = target.path.key().and_then(Filename::from_untrusted);
        let description = FileDescription {
            fields: FormFields {
                public,
                ..FormFields::default()
            },
            filename: file.filename.or(last_segment),
            declared: file.declared,
            digests: file.digests,
        };
        let source = FileSource::Raw(file.body.into_bytes_stream().boxed());
        Box::pin(self.take_file(target, description, file.content_length, source)).await
    }

    /// Rejects a file that would exceed the project's quota, before the client sends it.
    async fn check_room(&self, target: &Target, bytes: Option<u64>) -> Result<(), ApiError> {
        let project = target.creator.project_id.as_deref();
        if let (Some(project), Some(bytes)) = (project, bytes) {
            let blobs = &self.services.blobs;
            let room = blobs.check_room(project, bytes).await;
            room.map_err(IngestError::from)?;
        }
        Ok(())
    }

    /// Reads fields up to the file, whose bytes are next; or all of them, if there is none.
    async fn read_fields(
        &self,
        form: &mut Multipart,
        fields: &mut FormFields,
    ) -> Result<Option<PartHead>, ApiError> {
        while let Some(part) = self.next_part(form).await? {
            if is_file(&part.names)? {
                return Ok(Some(part));
            }
            let name = part.names.name.unwrap_or_default();
            let value = self.limited(field_value(&name, form)).await?;
            fields.read(&name, &value)?;
        }
        Ok(None)
    }

    async fn take_file(
        &self,
        target: Target,
        description: FileDescription,
        announced: Option<u64>,
        mut source: FileSource,
    ) -> Result<media::Model, ApiError> {
        let expectation = description.expectation(target.max_bytes)?;
        let Services { blobs, store, .. } = &*self.services;
        let owner = (BlobOwner::Upload, target.creator.project_id.as_deref());
        // A file that would exceed a limit is rejected before its first byte.
        let ingest = Ingest::open(blobs, store, owner, expectation, announced).await?;
        let blob = ingest.blob().clone();
        // On the heap: what storage and the database await is large for the stack of a thread.
        let store = Box::pin(async {
            let sealed = self.store(ingest, &mut source).await?;
            self.describe(target, description, &sealed, source).await
        });
        let described = tokio::select! {
            described = store => described,
            // The collector may have deleted the blob while a request to storage was in progress.
            lost = self.renew(blob.id) => Err(lost),
        };
        // Not renewed meanwhile: to `renew`, a blob that is live is lost, and an upload that is recorded must succeed.
        let recorded = match described {
            Ok((new, condition)) => Box::pin(self.record(new, condition)).await,
            Err(error) => Err(error),
        };
        match &recorded {
            Ok(media) => metrics().stored(Stored::Upload, media.size.unsigned_abs()),
            Err(_) => self.abandon(&blob).await,
        }
        recorded
    }

    async fn record(
        &self,
        new: NewMedia,
        condition: WritePrecondition,
    ) -> Result<media::Model, ApiError> {
        Ok(self.services.medias.publish_if(new, condition).await?)
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
        source: &mut FileSource,
    ) -> Result<StoredBlob, ApiError> {
        loop {
            let written = match self.limited(source.chunk()).await {
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

    /// Reads the fields after the file, and describes the media.
    async fn describe(
        &self,
        target: Target,
        mut description: FileDescription,
        sealed: &StoredBlob,
        source: FileSource,
    ) -> Result<(NewMedia, WritePrecondition), ApiError> {
        if let FileSource::Form(mut form) = source {
            let fields = &mut description.fields;
            if self.read_fields(&mut form, fields).await?.is_some() {
                return Err(second_file());
            }
            fields.check_project(target.creator.project_id.as_deref())?;
            let expectation = fields.expectation(target.max_bytes);
            expectation.check_whole(sealed.size, sealed.sha256)?;
        }
        target.check_public(description.fields.public)?;
        let condition = target.condition.clone();
        let store = &self.services.store;
        let new = description.into_media(target, sealed, store).await?;
        Ok((new, condition))
    }

    async fn next_part(&self, form: &mut Multipart) -> Result<Option<PartHead>, ApiError> {
        self.limited(async { form.next_part().await.map_err(ApiError::from) })
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
    let max_bytes = if name == META_FIELD {
        MAX_META_BYTES
    } else {
        MAX_FIELD_BYTES
    };
    let mut value = Vec::new();
    while let Some(chunk) = form.chunk().await? {
        value.extend_from_slice(&chunk);
        if value.len() > max_bytes {
            return Err(ApiError::at_pointer(
                ErrorCode::InvalidValue,
                pointer_to(name),
                format!("`{name}` must not be longer than {max_bytes} bytes"),
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
