//! The parameters of a query. Each parser takes those that it knows; the rest is rejected.

use std::collections::BTreeMap;

use poem::Request;
use url::form_urlencoded;

use crate::jsonapi::{ApiError, ErrorCode};

/// The most values of a list in a query.
const MAX_VALUES: usize = 1000;

/// The parameters of a query by name, in their order.
#[derive(Default)]
pub(crate) struct QueryString(BTreeMap<String, Vec<String>>);

impl QueryString {
    /// Parses the query of a request.
    pub(crate) fn from_request(request: &Request) -> Self {
        let mut parameters = BTreeMap::<_, Vec<_>>::new();
        let query = request.uri().query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            parameters
                .entry(name.into_owned())
                .or_default()
                .push(value.into_owned());
        }
        Self(parameters)
    }

    /// Takes a parameter that must not be repeated.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(mut values) if values.len() == 1 => Ok(values.pop()),
            Some(_) => Err(invalid(name, "must not be repeated")),
        }
    }

    /// Returns a parameter that is not repeated, without taking it.
    pub(crate) fn peek(&self, name: &str) -> Option<&str> {
        match self.0.get(name)?.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Takes a list: `name=a,b`, `name=a&name=b` or, for values that contain commas, `name[]=a&name[]=b`.
    pub(crate) fn take_list(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let commas = self.0.remove(name);
        let brackets = self.0.remove(&format!("{name}[]"));
        if commas.is_none() && brackets.is_none() {
            return Ok(None);
        }
        let mut values: Vec<String> = commas
            .iter()
            .flatten()
            .flat_map(|values| values.split(','))
            .map(str::to_owned)
            .collect();
        values.extend(brackets.unwrap_or_default());
        if values.len() > MAX_VALUES {
            return Err(invalid(name, "must not have more than 1000 values"));
        }
        Ok(Some(values))
    }

    /// Takes a list in the form `name[]=a&name[]=b`, which must not be used together with `name=a`.
    pub(crate) fn take_brackets(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let parameter = format!("{name}[]");
        if !self.0.contains_key(&parameter) {
            return Ok(None);
        }
        if self.0.contains_key(name) {
            let detail = format!("cannot be used together with {name}");
            return Err(invalid(&parameter, detail));
        }
        self.take_list(name)
    }

    /// Takes the parameters whose names begin so, none of which may be repeated.
    pub(crate) fn take_beginning_with(
        &mut self,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, ApiError> {
        let names = self.0.keys().filter(|name| name.starts_with(prefix));
        let names: Vec<String> = names.cloned().collect();
        let mut taken = Vec::with_capacity(names.len());
        for name in names {
            if let Some(value) = self.take(&name)? {
                taken.push((name, value));
            }
        }
        Ok(taken)
    }

    /// Takes a list of names. An empty value is an empty list.
    pub(crate) fn take_names(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let names = self.take_list(name)?;
        Ok(names.map(|names| match names.as_slice() {
            [empty] if empty.is_empty() => Vec::new(),
            _ => names,
        }))
    }

    /// Takes the parameters `name[key]` and `name[key][]` as lists of names by key.
    pub(crate) fn take_lists_by_key(
        &mut self,
        name: &str,
    ) -> Result<Vec<(String, Vec<String>)>, ApiError> {
        let prefix = format!("{name}[");
        let keys: Vec<String> = self
            .0
            .keys()
            .filter_map(|parameter| {
                let parameter = parameter.strip_suffix("[]").unwrap_or(parameter);
                let key = parameter.strip_prefix(&prefix)?.strip_suffix(']')?;
                Some(key.to_owned())
            })
            .collect();
        let mut lists = Vec::new();
        for key in keys {
            // Both forms of one key are one list.
            if let Some(list) = self.take_names(&format!("{name}[{key}]"))? {
                lists.push((key, list));
            }
        }
        Ok(lists)
    }

    /// Rejects the remaining parameters: a misspelt one must not be ignored.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(ApiError::at_parameter(
                ErrorCode::UnknownParameter,
                name,
                "this path does not know the parameter; see /docs",
            )),
        }
    }
}

/// Rejects every parameter.
pub(crate) fn refuse_parameters(request: &Request) -> Result<(), ApiError> {
    QueryString::from_request(request).finish()
}

/// A parameter whose value is not accepted.
pub(crate) fn invalid(parameter: &str, detail: impl Into<String>) -> ApiError {
    ApiError::at_parameter(ErrorCode::InvalidValue, parameter, detail)
}

/// A parameter that contains an unknown name.
pub(crate) fn unknown(parameter: &str, detail: impl Into<String>) -> ApiError {
    ApiError::at_parameter(ErrorCode::UnknownParameter, parameter, detail)
}
