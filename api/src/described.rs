//! Adds to the OpenAPI description what follows from the tables of resources, which the framework's
//! macros cannot know.

use std::collections::HashMap;

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, MetaOperation, Registry},
};

use crate::{
    jobs::JobResource,
    medias::MediaResource,
    resource::openapi::{list_parameters, view_parameters},
};

/// Operations with the parameters of their resources.
pub(crate) struct Described<T>(pub(crate) T);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        let mut apis = T::meta();
        let operations = apis
            .iter_mut()
            .flat_map(|api| &mut api.paths)
            .flat_map(|path| &mut path.operations);
        operations.for_each(describe);
        apis
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, routes: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        self.0.add_routes(routes);
    }
}

fn describe(operation: &mut MetaOperation) {
    operation.params.extend(match operation.operation_id {
        Some("listJobs") => list_parameters::<JobResource>(),
        Some("listMedias") => list_parameters::<MediaResource>(),
        Some("showJob") => view_parameters::<JobResource>(),
        Some("showMedia" | "showMediaByKey") => view_parameters::<MediaResource>(),
        _ => Vec::new(),
    });
}
