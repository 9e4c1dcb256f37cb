//! The extractor of the caller of an upload.

use std::ops::Deref;

use media_domain::caller::Caller;
use poem::{Request, RequestBody, Result};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, registry::Registry};

use super::upload_permit::PERMIT;
use crate::{
    caller::{MaybeCaller, SECURITY_SCHEME, caller_of},
    jsonapi::ApiError,
    resource::query_string::QueryString,
};

/// A caller that may write, or has a link that may. The operation verifies the link.
pub(crate) struct UploadCaller(Caller);

impl Deref for UploadCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<'a> ApiExtractor<'a> for UploadCaller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        MaybeCaller::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SECURITY_SCHEME]
    }

    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let caller = caller_of(request);
        let has_link = QueryString::from_request(request).peek(PERMIT).is_some();
        if !has_link {
            caller.write_scope().map_err(ApiError::from)?;
        }
        Ok(Self(caller.clone()))
    }
}
