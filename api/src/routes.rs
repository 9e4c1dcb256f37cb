//! The route table: the callers of each operation, the form of its answer, the use of the answer in browsers, its limits,
//! and the query parameters and headers of its handler. Authentication, negotiation, limits, security headers, telemetry and the
//! OpenAPI document read it.

use std::sync::Arc;

use poem::{
    Endpoint, Request,
    http::{Extensions, Method},
};
use poem_openapi::registry::{MetaApi, MetaOperationParam};

use crate::{
    jobs::JobResource,
    media::{MediaResource, parameters},
    resource::openapi_schema::{QueryParameter, list_parameters, view_parameters},
};

/// The callers that an operation is open to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerRule {
    /// All callers; tokens are ignored.
    Public,
    /// All callers; a token may give access to more.
    Optional,
    /// Callers with a token.
    Required,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A JSON:API document.
    Document,
    /// Plain text of a size that is worth compressing.
    Text,
    /// Anything else: bytes, a short text, a page, an event stream, or an empty body.
    Other,
}

/// The use of an answer in browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrowserPolicy {
    /// None: the answer is for programs.
    Data,
    /// A page with inline scripts and styles.
    Page,
    /// Media, which pages of other sites may embed if callers are authenticated.
    Media,
}

/// The limits that a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitClass {
    /// A probe of monitoring, which has no rate limit.
    Probe,
    /// A list, whose document stays in memory until the client has read it.
    List,
    /// An event stream.
    EventStream,
    /// An upload.
    Upload,
    /// Any other request.
    Other,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Route {
    /// The id of the operation in the OpenAPI document.
    pub(crate) operation: &'static str,
    /// The callers that it is open to.
    pub(crate) caller: CallerRule,
    /// The form of its answer.
    pub(crate) answer: Answer,
    /// The use of the answer in browsers.
    pub(crate) policy: BrowserPolicy,
    /// The limits that it counts against.
    pub(crate) limit: LimitClass,
    /// The query parameters that are not in the signature of its handler.
    pub(crate) parameters: fn() -> Vec<QueryParameter>,
    /// The request headers that are not in the signature of its handler.
    pub(crate) headers: fn() -> Vec<MetaOperationParam>,
}

/// An operation on jobs, and the default for operations that are not in the table.
const GUARDED: Route = Route {
    operation: "",
    caller: CallerRule::Required,
    answer: Answer::Document,
    policy: BrowserPolicy::Data,
    limit: LimitClass::Other,
    parameters: Vec::new,
    headers: Vec::new,
};

/// An operation under `/medias/files/`.
const FILES: Route = Route {
    policy: BrowserPolicy::Media,
    parameters: parameters::path_parameters,
    ..GUARDED
};

/// A download, or only its headers.
const DOWNLOAD: Route = Route {
    caller: CallerRule::Optional,
    answer: Answer::Other,
    parameters: parameters::download_parameters,
    ..FILES
};

/// The record of a media.
const RECORD: Route = Route {
    caller: CallerRule::Optional,
    parameters: parameters::record_parameters,
    ..GUARDED
};

/// An operation that reveals nothing about jobs and media.
const OPEN: Route = Route {
    caller: CallerRule::Public,
    answer: Answer::Other,
    ..GUARDED
};

/// An upload: with a token, or with a signed link.
const UPLOAD: Route = Route {
    caller: CallerRule::Optional,
    limit: LimitClass::Upload,
    parameters: parameters::upload_parameters,
    ..FILES
};

/// An upload without a form.
const PUT: Route = Route {
    parameters: parameters::put_parameters,
    headers: parameters::put_headers,
    ..UPLOAD
};

const DELETION: Route = Route {
    answer: Answer::Other,
    ..FILES
};

#[rustfmt::skip]
static OPERATIONS: [Route; 26] = [
    Route { operation: "createJob", ..GUARDED },
    Route { operation: "listJobs", limit: LimitClass::List, parameters: list_parameters::<JobResource>, ..GUARDED },
    Route { operation: "showJob", parameters: view_parameters::<JobResource>, ..GUARDED },
    Route { operation: "changeJob", ..GUARDED },
    Route { operation: "deleteJob", ..GUARDED },
    Route { operation: "signalJob", ..GUARDED },
    Route { operation: "listenToJob", answer: Answer::Other, limit: LimitClass::EventStream, ..GUARDED },
    Route { operation: "listMedias", limit: LimitClass::List, parameters: list_parameters::<MediaResource>, ..GUARDED },
    Route { operation: "showMedia", ..RECORD },
    Route { operation: "showMediaByKey", ..RECORD },
    Route { operation: "changeMedia", parameters: parameters::path_parameters, ..GUARDED },
    Route { operation: "changeMediaByKey", parameters: parameters::path_parameters, ..GUARDED },
    Route { operation: "downloadMedia", ..DOWNLOAD },
    Route { operation: "downloadMediaByKey", ..DOWNLOAD },
    Route { operation: "probeMedia", ..DOWNLOAD },
    Route { operation: "probeMediaByKey", ..DOWNLOAD },
    Route { operation: "uploadMedia", ..UPLOAD },
    Route { operation: "uploadMediaByKey", ..UPLOAD },
    Route { operation: "putMedia", ..PUT },
    Route { operation: "putMediaByKey", ..PUT },
    Route { operation: "deleteMedia", ..DELETION },
    Route { operation: "deleteMediaByKey", ..DELETION },
    Route { operation: "createLink", ..GUARDED },
    Route { operation: "livez", limit: LimitClass::Probe, ..OPEN },
    Route { operation: "readyz", limit: LimitClass::Probe, ..OPEN },
    Route { operation: "metrics", answer: Answer::Text, ..GUARDED },
];

/// The pages that describe the API, by their paths.
static PAGES: [(&str, Route); 2] = [
    (
        "/docs",
        Route {
            policy: BrowserPolicy::Page,
            ..OPEN
        },
    ),
    ("/openapi.json", OPEN),
];

/// The route of an operation; [`GUARDED`] if it is not in the table.
pub(crate) fn route_of(operation: &str) -> &'static Route {
    static DEFAULT: Route = GUARDED;
    let mut routes = OPERATIONS.iter();
    routes
        .find(|route| route.operation == operation)
        .unwrap_or(&DEFAULT)
}

/// The routes by path and method. Paths with fewer parameters come first, so that a literal segment wins over a
/// parameter.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable(Arc<[PathRoutes]>);

#[derive(Debug)]
struct PathRoutes {
    /// The path in the OpenAPI document, such as `/jobs/{resource_id}`.
    template: Arc<str>,
    methods: Vec<(Method, &'static Route)>,
}

/// The route of a request; [`match_route`] puts it into the request's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct MatchedRoute {
    template: Option<Arc<str>>,
    route: Option<&'static Route>,
}

impl RouteTable {
    /// Joins the paths of operations with their routes.
    pub(crate) fn new(apis: &[MetaApi]) -> Self {
        let mut paths: Vec<PathRoutes> = Vec::new();
        let mut add = |template: &str, method: Method, route: &'static Route| match paths
            .iter_mut()
            .find(|path| &*path.template == template)
        {
            Some(path) => path.methods.push((method, route)),
            None => paths.push(PathRoutes {
                template: template.into(),
                methods: vec![(method, route)],
            }),
        };
        for path in apis.iter().flat_map(|api| &api.paths) {
            for operation in &path.operations {
                let route = route_of(operation.operation_id.unwrap_or_default());
                add(&path.path, operation.method.clone(), route);
            }
        }
        for (path, route) in &PAGES {
            add(path, Method::GET, route);
        }
        paths.sort_by_key(|path| path.template.matches('{').count());
        Self(paths.into())
    }

    /// Finds the route of a method and a path.
    pub(crate) fn find(&self, method: &Method, path: &str) -> MatchedRoute {
        let Some(matching) = self.0.iter().find(|each| each.matches(path)) else {
            return MatchedRoute::default();
        };
        let route_for = |method: &Method| {
            let mut methods = matching.methods.iter();
            methods
                .find(|(known, _)| known == method)
                .map(|(_, route)| *route)
        };
        // The framework answers HEAD wherever it answers GET.
        let as_get = matches!(*method, Method::HEAD | Method::OPTIONS);
        MatchedRoute {
            template: Some(Arc::clone(&matching.template)),
            route: route_for(method).or_else(|| as_get.then(|| route_for(&Method::GET)).flatten()),
        }
    }

    /// The value of `Allow` for a path (RFC 9110 §15.5.6).
    pub(crate) fn allowed_methods(&self, path: &str) -> String {
        let mut names: Vec<&str> = self
            .0
            .iter()
            .filter(|each| each.matches(path))
            .flat_map(|each| &each.methods)
            .map(|(method, _)| method.as_str())
            .collect();
        // The framework answers HEAD wherever it answers GET.
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }
}

impl PathRoutes {
    fn matches(&self, path: &str) -> bool {
        let mut segments = path.split('/');
        let mut template = self.template.split('/');
        template.all(|expected| {
            segments
                .next()
                .is_some_and(|segment| expected.starts_with('{') || expected == segment)
        }) && segments.next().is_none()
    }
}

impl MatchedRoute {
    /// The route of a request.
    pub(crate) fn from_request(request: &Request) -> &Self {
        static UNMATCHED: MatchedRoute = MatchedRoute {
            template: None,
            route: None,
        };
        request.extensions().get().unwrap_or(&UNMATCHED)
    }

    /// The path in the OpenAPI document.
    pub(crate) fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// The callers that the route is open to; without a route, those with a token.
    pub(crate) fn caller(&self) -> CallerRule {
        self.route().caller
    }

    /// The form of the answer; without a route, a document.
    pub(crate) fn answer(&self) -> Answer {
        self.route().answer
    }

    /// The use of the answer in browsers.
    pub(crate) fn policy(&self) -> BrowserPolicy {
        self.route().policy
    }

    /// The limits that the request counts against.
    pub(crate) fn limit(&self) -> LimitClass {
        self.route().limit
    }

    fn route(&self) -> &'static Route {
        self.route.unwrap_or_else(|| route_of(""))
    }
}

/// Finds the route of a request, and puts it into the request's extensions.
pub(crate) async fn match_route<E: Endpoint>(
    endpoint: Arc<E>,
    mut request: Request,
    routes: RouteTable,
) -> poem::Result<E::Output> {
    let matched = routes.find(request.method(), request.uri().path());
    let extensions: &mut Extensions = request.extensions_mut();
    extensions.insert(matched);
    endpoint.call(request).await
}

#[cfg(test)]
mod tests;
