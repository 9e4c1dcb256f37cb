//! The programs check the schema and the bucket at start.

use std::process::Command;

use media_testkit::{cluster::Cluster, programs};

#[tokio::test]
async fn the_programs_refuse_an_outdated_schema() {
    let cluster = Cluster::start().await;
    assert!(cluster.migrate("status").status.success());
    assert!(cluster.migrate("down").status.success());
    for program in ["media-api", "media-worker"] {
        let output = Command::new(programs::path(program))
            .envs(cluster.variables())
            .env("MEDIA_LISTEN", "127.0.0.1:0")
            .env_remove("AWS_CA_BUNDLE")
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("media-migrate up"), "{program}: {said}");
    }
    assert!(cluster.migrate("up").status.success());
    cluster.api("api").await;
}

#[tokio::test]
async fn the_programs_refuse_a_bucket_that_refuses_them() {
    let cluster = Cluster::start().await;
    for (variable, value) in [
        ("AWS_SECRET_ACCESS_KEY", "another"),
        ("MEDIA_STORAGE_URL", "s3://no-such-bucket"),
    ] {
        let output = Command::new(programs::path("media-api"))
            .envs(cluster.variables())
            .env("MEDIA_LISTEN", "127.0.0.1:0")
            .env(variable, value)
            .env_remove("AWS_CA_BUNDLE")
            .output()
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("MEDIA_STORAGE_URL"), "{variable}: {said}");
        assert!(
            said.contains("the object store refuses"),
            "{variable}: {said}"
        );
        assert!(!said.contains("testsecret"), "{said}");
    }
}
