//! A service with authentication, and its callers.

use media_testkit::{
    service::{FAR_FUTURE, Installation, Service, import},
    tokens::{SECRET, SIGNING_KEY, claims_with, merged, secret_token},
};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::fixture::with_authentication;

/// The signature of a PNG file.
const BYTES: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The kinds of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Anonymous,
    /// The user in project `a` who owns the target.
    Owner,
    /// Another user in project `a`.
    Colleague,
    /// A service in project `a`.
    Service,
    /// A user in project `b` with the owner's name.
    Stranger,
    /// A service in project `b`.
    ForeignService,
    /// A user in both projects.
    BothProjects,
    Admin,
    /// The owner with a token of the scope `media:read`.
    ReadOnly,
    /// The owner with a token of an unknown scope.
    UnknownScope,
    /// The owner with a token without a project.
    WithoutProject,
}

impl Who {
    pub(crate) const ALL: [Self; 11] = [
        Self::Anonymous,
        Self::Owner,
        Self::Colleague,
        Self::Service,
        Self::Stranger,
        Self::ForeignService,
        Self::BothProjects,
        Self::Admin,
        Self::ReadOnly,
        Self::UnknownScope,
        Self::WithoutProject,
    ];

    fn token(self) -> Option<String> {
        let (name, more) = match self {
            Self::Anonymous => return None,
            Self::Owner => ("owner", json!({ "project_id": "a" })),
            Self::Colleague => ("colleague", json!({ "project_id": "a" })),
            Self::Service => ("bot", json!({ "project_id": "a", "role": "service" })),
            Self::Stranger => ("owner", json!({ "project_id": "b" })),
            Self::ForeignService => ("bot", json!({ "project_id": "b", "role": "service" })),
            Self::BothProjects => ("both", json!({ "project_id": ["b", "a"] })),
            Self::Admin => ("root", json!({ "role": "admin" })),
            Self::ReadOnly => ("owner", json!({ "project_id": "a", "scope": "media:read" })),
            Self::UnknownScope => ("owner", json!({ "project_id": "a", "scope": "other" })),
            Self::WithoutProject => ("owner", json!({})),
        };
        Some(secret_token(SECRET, &claims_with(name, more)))
    }
}

/// A running service with authentication.
pub(crate) struct Fixture {
    pub(crate) service: Service,
    installation: Installation,
}

/// A job and a media of the owner, on which an operation is tried.
pub(crate) struct Target {
    pub(crate) job: String,
    pub(crate) media: String,
    pub(crate) resource: String,
}

pub(crate) fn installation() -> Installation {
    with_authentication()
        .with("MEDIA_URL_SIGNING_KEY", SIGNING_KEY)
        // Permissions are tested, not rate limits.
        .with("MEDIA_RATE_LIMIT", "off")
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::of(installation()).await
    }

    pub(crate) async fn of(installation: Installation) -> Self {
        Self {
            service: installation.serve().await,
            installation,
        }
    }

    /// Restarts the service with another value of a setting.
    pub(crate) async fn restarted_with(self, name: &str, value: &str) -> Self {
        self.service.stop().await;
        Self::of(self.installation.with(name, value)).await
    }

    /// Returns a request of a caller.
    pub(crate) fn ask(&self, who: Who, method: Method, path: &str) -> RequestBuilder {
        let request = self.service.http.request(method, self.service.url(path));
        match who.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, who: Who, path: &str) -> Response {
        self.ask(who, Method::GET, path).send().await.unwrap()
    }

    /// Returns the document at a path, which must exist.
    pub(crate) async fn document(&self, who: Who, path: &str) -> Value {
        let answer = self.get(who, path).await;
        let status = answer.status();
        let document = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{who:?} {path}: {document}");
        document
    }

    /// Returns the number of items in a list.
    pub(crate) async fn count(&self, who: Who, list: &str) -> u64 {
        let path = format!("{list}?count=true&page[size]=1");
        self.document(who, &path).await["meta"]["count"]
            .as_u64()
            .unwrap()
    }

    pub(crate) async fn post(&self, who: Who, path: &str, document: &Value) -> Response {
        let request = self.ask(who, Method::POST, path).json(document);
        request.send().await.unwrap()
    }

    /// Creates an import that is scheduled in the far future.
    pub(crate) async fn create_job(&self, who: Who, resource: &str, more: Value) -> Response {
        self.post(who, "/jobs", &waiting(resource, more)).await
    }

    pub(crate) async fn upload(&self, who: Who, path: &str, public: bool) -> Response {
        let request = self.ask(who, Method::POST, &format!("/medias/files/{path}"));
        request.multipart(form(BYTES, public)).send().await.unwrap()
    }

    /// Creates a job and media of the owner that no other test uses. The resource has one media without a key
    /// and one with the key `k`.
    pub(crate) async fn target(&self, public: bool) -> Target {
        let resource = media_testkit::service::unique("r");
        let job = self.create_job(Who::Owner, &resource, json!({})).await;
        assert_eq!(job.status(), StatusCode::CREATED);
        let job: Value = job.json().await.unwrap();
        let mut media = Value::Null;
        for path in [resource.clone(), format!("{resource}/k")] {
            let kept = self.upload(Who::Owner, &path, public).await;
            assert_eq!(kept.status(), StatusCode::CREATED);
            media = kept.json().await.unwrap();
        }
        Target {
            job: job["data"]["id"].as_str().unwrap().to_owned(),
            media: media["data"]["id"].as_str().unwrap().to_owned(),
            resource,
        }
    }
}

/// Returns a document for an import that is scheduled in the far future.
pub(crate) fn waiting(resource: &str, more: Value) -> Value {
    let arguments = json!({ "url": "http://origin.test/a.png", "resource": resource });
    let attributes = merged(json!({ "scheduled_at": FAR_FUTURE }), more);
    import(&arguments, attributes)
}

pub(crate) fn form(bytes: &'static [u8], public: bool) -> Form {
    let file = Part::bytes(bytes).file_name("a.png");
    Form::new()
        .text("public", public.to_string())
        .part("media", file)
}
