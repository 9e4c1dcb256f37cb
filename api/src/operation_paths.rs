//! The paths of the operations, told by the operations themselves.

use std::sync::Arc;

use poem::http::Method;
use poem_openapi::OpenApi;

/// The path of every operation, as the OpenAPI document has it, with its methods; those with fewer
/// parameters first.
#[derive(Clone, Debug)]
pub(crate) struct OperationPaths(Arc<[OperationPath]>);

#[derive(Debug)]
struct OperationPath {
    template: String,
    methods: Vec<Method>,
}

impl OperationPaths {
    /// Reads the operations of an API.
    pub(crate) fn of<T: OpenApi>() -> Self {
        let paths = T::meta().into_iter().flat_map(|api| api.paths);
        let all = paths.map(|path| {
            let methods = path
                .operations
                .iter()
                .map(|operation| operation.method.clone());
            OperationPath {
                methods: methods.collect(),
                template: path.path,
            }
        });
        let mut all: Vec<OperationPath> = all.collect();
        // A name in a template says more than a parameter.
        all.sort_by_key(|each| each.template.matches('{').count());
        Self(all.into())
    }

    /// The path as the OpenAPI document has it that a path fits, if it fits one.
    pub(crate) fn template_of(&self, path: &str) -> Option<&str> {
        let fitting = self.0.iter().find(|each| each.fits(path));
        fitting.map(|each| each.template.as_str())
    }

    /// The value of `Allow` for a path (RFC 9110 §15.5.6).
    pub(crate) fn allowed_at(&self, path: &str) -> String {
        let mut names: Vec<&str> = self
            .0
            .iter()
            .filter(|each| each.fits(path))
            .flat_map(|each| &each.methods)
            .map(Method::as_str)
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

impl OperationPath {
    fn fits(&self, path: &str) -> bool {
        let mut asked = path.split('/');
        let mut template = self.template.split('/');
        template.all(|segment| {
            asked
                .next()
                .is_some_and(|asked| segment.starts_with('{') || segment == asked)
        }) && asked.next().is_none()
    }
}
