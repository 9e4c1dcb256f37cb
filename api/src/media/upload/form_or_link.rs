//! The body of a `POST` to a path that may end in `links`.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::Payload as _,
    registry::{MetaMediaType, MetaRequest, Registry},
};

use super::form::UploadForm;
use crate::{jsonapi::JsonApiBody, links::create::NewLinkDocument};

/// The last segment of a path that creates a link. It is a valid key as well: a form that is sent there is an upload.
const LINK_SEGMENT: &str = "/links";

/// A form, or a request for a link.
pub(super) enum FormOrLink {
    Form(UploadForm),
    Link(JsonApiBody<NewLinkDocument>),
}

impl<'a> ApiExtractor<'a> for FormOrLink {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <UploadForm as ApiExtractor>::register(registry);
        <JsonApiBody<NewLinkDocument> as ApiExtractor>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let mut meta = <JsonApiBody<NewLinkDocument> as ApiExtractor>::request_meta()?;
        let form = MetaMediaType {
            content_type: UploadForm::CONTENT_TYPE,
            schema: UploadForm::schema_ref(),
        };
        meta.content.insert(0, form);
        meta.description =
            Some("A form uploads a media. A document creates a link, if the path ends in `links`");
        Some(meta)
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let content_type = request.content_type().unwrap_or_default();
        let is_link = request.uri().path().ends_with(LINK_SEGMENT)
            && !UploadForm::check_content_type(content_type);
        if is_link {
            let link = JsonApiBody::from_request(request, body, options).await?;
            return Ok(Self::Link(link));
        }
        let form = <UploadForm as ApiExtractor>::from_request(
            request,
            body,
            ExtractParamOptions::default(),
        )
        .await?;
        Ok(Self::Form(form))
    }
}
