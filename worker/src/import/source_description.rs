//! The description of an imported file by its origin, and the media made of it.

use std::sync::Arc;

use media_database::{entities::job, media_repository::NewMedia};
use media_domain::{blob::StoredBlob, caller::Creator, job::ImportArguments, media::Filename};
use media_formats::{
    media_type::{self, MediaType},
    metadata,
};
use media_storage::BlobStore;

use url::Url;

use super::{filename, present_media::stored_origin};
use crate::fetch::{Head, OriginValidators};

/// The type and name that the origin gives a file.
pub(super) struct SourceDescription {
    /// With parameters.
    declared_type: Option<String>,
    pub(super) filename: Option<Filename>,
    /// The URL after redirects.
    final_url: Url,
    /// For a later import that refreshes the media.
    validators: OriginValidators,
}

impl SourceDescription {
    pub(super) fn new(head: &Head) -> Self {
        let named = head.filename.clone();
        Self {
            declared_type: head.content_type.clone(),
            filename: named.or_else(|| filename::from_url(&head.url)),
            final_url: head.url.clone(),
            validators: head.validators.clone(),
        }
    }

    /// The origin as it is stored with the media, for a later import that refreshes it.
    pub(super) fn stored_origin(&self, arguments: &ImportArguments) -> Option<serde_json::Value> {
        stored_origin(arguments, &self.final_url, &self.validators)
    }

    /// Detects the type of a file from its first bytes, its declared type and its name.
    pub(super) fn media_type(&self, bytes: &[u8], filename: Option<&Filename>) -> MediaType {
        let extension = filename.and_then(Filename::extension);
        media_type::detect(bytes, self.declared_type.as_deref(), extension)
    }

    /// Describes the media of a stored blob.
    pub(super) async fn new_media(
        &self,
        arguments: &ImportArguments,
        sealed: &StoredBlob,
        job: &job::Model,
        store: &Arc<dyn BlobStore>,
    ) -> NewMedia {
        let named = arguments.filename.as_ref().or(self.filename.as_ref());
        let media_type = self.media_type(&sealed.head, named);
        let of_origin = || filename::with_extension(self.filename.clone(), media_type.extension);
        NewMedia {
            path: arguments.path.clone(),
            filename: arguments.filename.clone().unwrap_or_else(of_origin),
            metadata: metadata::read(store, sealed, &media_type.mime).await,
            mime_type: media_type.mime,
            charset: media_type.charset,
            size: sealed.size,
            sha256: sealed.sha256,
            public: arguments.public,
            source_url: Some(arguments.public_url()),
            origin: self.stored_origin(arguments),
            meta: arguments.meta.clone(),
            expires_at: arguments.expires_at,
            creator: Creator {
                created_by: job.created_by.clone(),
                created_role: job.created_role,
                project_id: job.project_id.clone(),
            },
            blob_id: sealed.blob_id,
        }
    }
}
