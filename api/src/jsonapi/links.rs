//! The links of a list: first, prev, next, last.

use media_shared::page::{Page, PageRequest, PageSize, PageStart};
use poem_openapi::Object;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

/// Links to other parts of the list, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct ListLinks {
    /// The first page.
    pub first: Option<String>,
    /// The page before this one.
    pub prev: Option<String>,
    /// The page after this one, by a cursor: stable while rows come and go.
    pub next: Option<String>,
    /// The last page, if the list was counted.
    pub last: Option<String>,
}

impl ListLinks {
    /// The links of a page at `path`. `id_of` tells an item's identifier.
    pub fn of<T>(path: &str, request: PageRequest, page: &Page<T>, id_of: fn(&T) -> Uuid) -> Self {
        let link = |start| link_to(path, request, start);
        let last_id = page.items.last().map(id_of);
        Self {
            first: Some(link(PageStart::Number(1))),
            prev: match request.start {
                PageStart::Number(number @ 2..) => Some(link(PageStart::Number(number - 1))),
                _ => None,
            },
            next: last_id
                .filter(|_| page.has_more)
                .map(|id| link(PageStart::After(id))),
            last: page.total.map(|total| {
                let pages = total.div_ceil(request.size.get()).max(1);
                link(PageStart::Number(pages))
            }),
        }
    }
}

fn link_to(path: &str, request: PageRequest, start: PageStart) -> String {
    let mut query = Serializer::new(String::new());
    match start {
        PageStart::Number(1) => {}
        PageStart::Number(number) => {
            query.append_pair("page[number]", &number.to_string());
        }
        PageStart::After(id) => {
            query.append_pair("page[after]", &id.to_string());
        }
    }
    if request.size != PageSize::MAX {
        query.append_pair("page[size]", &request.size.get().to_string());
    }
    if request.count {
        query.append_pair("count", "true");
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}
