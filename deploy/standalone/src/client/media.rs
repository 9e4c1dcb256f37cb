//! Requests on media.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use media_domain::media::MediaPath;
use reqwest::{
    Body, Method, Response,
    multipart::{Form, Part},
};
use tokio::time::timeout;

use super::{ApiClient, ClientError, Document, MAX_SILENCE, Resource, error::root_cause};

/// A file to upload.
pub(crate) struct Upload {
    /// The bytes.
    pub(crate) body: Body,
    /// The number of bytes, if it is known.
    pub(crate) size: Option<u64>,
    /// The name of the file.
    pub(crate) filename: String,
    /// The SHA-256 that the service verifies.
    pub(crate) sha256: Option<String>,
    /// Whether anyone may download the media.
    pub(crate) public: bool,
}

impl ApiClient {
    /// Looks up the record of a media.
    pub(crate) async fn media(&self, path: &MediaPath) -> Result<Resource, ClientError> {
        let request = self.request(Method::GET, &segments("info", path))?;
        let answer: Document<Resource> = self.document(request).await?;
        Ok(answer.data)
    }

    /// Starts a download.
    pub(crate) async fn download(
        &self,
        path: &MediaPath,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, ClientError>> + Unpin, ClientError> {
        let request = self.request(Method::GET, &segments("files", path))?;
        let response = self.send(request).await?;
        Ok(self.chunks(response))
    }

    /// Uploads a file, and returns the record.
    pub(crate) async fn upload(
        &self,
        path: &MediaPath,
        upload: Upload,
    ) -> Result<Resource, ClientError> {
        let mut form = Form::new().text("public", upload.public.to_string());
        if let Some(sha256) = upload.sha256 {
            form = form.text("sha256", sha256);
        }
        let file = match upload.size {
            Some(size) => Part::stream_with_length(upload.body, size),
            None => Part::stream(upload.body),
        };
        let form = form.part("media", file.file_name(upload.filename));
        let request = self.request(Method::POST, &segments("files", path))?;
        let response = self.send(request.multipart(form)).await?;
        let status = response.status();
        let answer: Result<Document<Resource>, _> = response.json().await;
        let answer = answer.map_err(|_| ClientError::not_the_service(&self.name, status))?;
        Ok(answer.data)
    }

    /// Deletes a media.
    pub(crate) async fn delete_media(&self, path: &MediaPath) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, &segments("files", path))?;
        self.send(request.timeout(super::REQUEST_TIMEOUT)).await?;
        Ok(())
    }

    /// The chunks of a body. Silence for longer than [`MAX_SILENCE`] is an error.
    pub(super) fn chunks(
        &self,
        response: Response,
    ) -> impl Stream<Item = Result<bytes::Bytes, ClientError>> + Unpin + use<> {
        let name = Arc::clone(&self.name);
        let body = response.bytes_stream();
        let chunks = futures_util::stream::unfold(Some(body), move |body| {
            let name = Arc::clone(&name);
            async move {
                let mut body = body?;
                match timeout(MAX_SILENCE, body.next()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(body))),
                    Ok(Some(Err(error))) => {
                        let reason = root_cause(&error);
                        Some((Err(ClientError::interrupted(&name, &reason)), None))
                    }
                    Err(_) => {
                        let error = ClientError::interrupted(&name, "no bytes arrive");
                        Some((Err(error), None))
                    }
                }
            }
        });
        Box::pin(chunks)
    }
}

/// The segments of a media's path below `/medias`.
fn segments<'p>(part: &'p str, path: &'p MediaPath) -> Vec<&'p str> {
    let mut segments = vec!["medias", part, path.resource()];
    segments.extend(path.key());
    segments
}
