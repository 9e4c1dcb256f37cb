//! Memory is bounded by configuration, not by the size of transferred files.

use media_testkit::{
    bytes::{same_bytes, write_large},
    nginx::Nginx,
    service::Installation,
};
use reqwest::{
    StatusCode,
    multipart::{Form, Part},
};
use tokio::io::AsyncWriteExt as _;

use crate::fixture::MEDIA;

/// The allowed memory above the idle size while a gibibyte is transferred, in bytes.
const MAX_ADDED_BYTES: u64 = 64 << 20;

#[tokio::test]
async fn a_gibibyte_is_imported_downloaded_and_uploaded_in_bounded_memory() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let original = nginx.path("gibibyte");
    write_large(&original, 1024);
    let idle = service.memory_now();
    let check = |what: &str| {
        let added = service.peak_memory().saturating_sub(idle);
        eprintln!(
            "{what}: {} KiB above the idle {} KiB",
            added >> 10,
            idle >> 10
        );
        assert!(added < MAX_ADDED_BYTES, "{what} took {added} bytes more");
    };

    let job = service.import(&nginx.url("gibibyte"), "big", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    check("import");
    assert!(same_bytes(&installation.stored_files()[0], &original));

    let back = installation.directory().join("back");
    let mut file = tokio::fs::File::create(&back).await.unwrap();
    let mut answer = service.get("/medias/files/big").await;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        file.write_all(&chunk).await.unwrap();
    }
    file.flush().await.unwrap();
    check("download");
    assert!(same_bytes(&back, &original));

    let digest = service.media("big").await["sha256"].clone();
    let body = reqwest::Body::from(tokio::fs::File::open(&original).await.unwrap());
    let form = Form::new().part("media", Part::stream(body).file_name("big.bin"));
    let request = service.http.post(service.url("/medias/files/up"));
    let answer = request.multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    check("upload");
    assert_eq!(service.media("up").await["sha256"], digest);
}
