//! Tests of the route table.

use poem_openapi::OpenApi as _;

use super::*;
use crate::endpoint::Operations;

#[test]
fn only_listed_routes_are_public() {
    let routes = RouteTable::new(&Operations::meta());
    for (method, path, expected) in [
        (Method::GET, "/livez", CallerRule::Public),
        (Method::GET, "/livez/", CallerRule::Required),
        (Method::GET, "/docs", CallerRule::Public),
        (Method::GET, "/medias", CallerRule::Required),
        (Method::GET, "/medias/files/a/b", CallerRule::Optional),
        (
            Method::HEAD,
            "/medias/files/{resource}",
            CallerRule::Optional,
        ),
        (Method::POST, "/medias/files/a", CallerRule::Optional),
        (Method::DELETE, "/medias/files/a", CallerRule::Required),
        (Method::GET, "/medias/filesystem", CallerRule::Required),
        (Method::GET, "/medias/info/a", CallerRule::Optional),
        (Method::GET, "//medias/info/a", CallerRule::Required),
        (Method::OPTIONS, "/jobs", CallerRule::Required),
        (Method::GET, "/nowhere", CallerRule::Required),
    ] {
        let found = routes.find(&method, path).caller();
        assert_eq!(found, expected, "{method} {path}");
    }
}

#[test]
fn every_operation_has_a_route_that_agrees_with_its_extractor() {
    let mut operations = Vec::new();
    for path in Operations::meta().iter().flat_map(|api| &api.paths) {
        for operation in &path.operations {
            let id = operation.operation_id.unwrap_or_default();
            let route = route_of(id);
            assert_eq!(route.operation, id, "has no route");
            let declared = match operation.security.as_slice() {
                [] => CallerRule::Public,
                [_] => CallerRule::Required,
                _ => CallerRule::Optional,
            };
            assert_eq!(declared, route.caller, "{id}");
            operations.push(id);
        }
    }
    assert_eq!(operations.len(), OPERATIONS.len());
}

#[test]
fn a_request_counts_against_the_limits_of_its_route() {
    let routes = RouteTable::new(&Operations::meta());
    for (method, path, limit) in [
        (Method::GET, "/jobs", LimitClass::List),
        (Method::POST, "/jobs", LimitClass::Other),
        (Method::GET, "/jobs/1/events", LimitClass::EventStream),
        (Method::GET, "/jobs/1", LimitClass::Other),
        (Method::GET, "/medias", LimitClass::List),
        (Method::POST, "/medias/files/a/b", LimitClass::Upload),
        (Method::PUT, "/medias/files/a/b", LimitClass::Upload),
        (Method::GET, "/medias/files/a/b", LimitClass::Other),
    ] {
        let found = routes.find(&method, path).limit();
        assert_eq!(found, limit, "{method} {path}");
    }
}
