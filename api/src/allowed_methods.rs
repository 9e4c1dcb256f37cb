//! `Allow` on 405 (RFC 9110 §15.5.6), told by the operations themselves.

use poem::http::Method;
use poem_openapi::OpenApi;

/// The methods of every path.
#[derive(Clone, Debug)]
pub(crate) struct AllowedMethods(Vec<(Vec<String>, Vec<Method>)>);

impl AllowedMethods {
    /// Reads the operations of an API.
    pub(crate) fn of<T: OpenApi>() -> Self {
        let paths = T::meta().into_iter().flat_map(|api| api.paths);
        let methods = paths.map(|path| {
            let methods = path
                .operations
                .iter()
                .map(|operation| operation.method.clone());
            (segments(&path.path), methods.collect())
        });
        Self(methods.collect())
    }

    /// The value of `Allow` for a path.
    pub(crate) fn at(&self, path: &str) -> String {
        let asked = segments(path);
        let mut names: Vec<&str> = self
            .0
            .iter()
            .filter(|(template, _)| matches(template, &asked))
            .flat_map(|(_, methods)| methods)
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

fn segments(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

fn matches(template: &[String], asked: &[String]) -> bool {
    template.len() == asked.len()
        && template
            .iter()
            .zip(asked)
            .all(|(template, asked)| template.starts_with('{') || template == asked)
}
