//! Fixtures that several files of the suite use.

use media_testkit::{
    bytes::write_large,
    nginx::Nginx,
    service::{Installation, Service},
    tokens::SECRET,
};
use reqwest::{
    Method, Response,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The program under test.
pub(crate) const MEDIA: &str = env!("CARGO_BIN_EXE_media");

/// Returns the bytes of a file beside the tests, or among the samples of the demonstration.
pub(crate) fn file(name: &str) -> Vec<u8> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(here.join("tests/files").join(name))
        .or_else(|_| std::fs::read(here.join("samples").join(name)))
        .unwrap()
}

/// Returns an installation that accepts tokens signed with [`SECRET`].
pub(crate) fn with_authentication() -> Installation {
    Installation::new(MEDIA).with("MEDIA_JWT_SECRET", SECRET)
}

/// Sends a request with headers and without a body.
pub(crate) async fn send(
    service: &Service,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Response {
    let mut request = service.http.request(method, service.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// Sends the head of a request as it is, and returns the first line of the first answer.
pub(crate) async fn ask_raw(
    service: &Service,
    method: &Method,
    path: &str,
    headers: &str,
) -> String {
    let mut stream = TcpStream::connect(service.url("").replace("http://", ""))
        .await
        .unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let bytes = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..bytes]).into_owned();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Returns a part of a form that is a file.
pub(crate) fn file_part(name: &str, bytes: &[u8]) -> Part {
    Part::bytes(bytes.to_vec()).file_name(name.to_owned())
}

/// Returns the form of an upload without further fields.
pub(crate) fn upload_form(name: &str, bytes: &[u8]) -> Form {
    Form::new().part("media", file_part(name, bytes))
}

/// Uploads a file to a path below `/medias/files/`.
pub(crate) async fn upload(service: &Service, path: &str, name: &str, bytes: &[u8]) {
    let request = service
        .http
        .post(service.url(&format!("/medias/files/{path}")));
    let answer = request
        .multipart(upload_form(name, bytes))
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{:?}", answer.text().await);
}

/// Starts an import at 4 MB/s, waits until bytes have arrived, and returns the id of the job.
pub(crate) async fn begin_slow_import(service: &Service, nginx: &Nginx, mebibytes: u64) -> String {
    write_large(&nginx.path("large"), mebibytes);
    let arguments = json!({ "url": nginx.url("slow/large"), "resource": "large" });
    let job = service.create_job(&arguments, json!({})).await;
    let id = job["id"].as_str().unwrap().to_owned();
    service.wait_for_bytes(&id).await;
    id
}

/// Returns the code of the first error of a JSON:API error document.
pub(crate) async fn error_code(answer: Response) -> String {
    let media_type = answer.headers()["content-type"].to_str().unwrap();
    assert_eq!(media_type, "application/vnd.api+json");
    let document: Value = answer.json().await.unwrap();
    document["errors"][0]["code"].as_str().unwrap().to_owned()
}
