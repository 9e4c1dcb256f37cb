//! Redis servers with users and several databases, and misconfigured ones.

use media_testkit::{cluster::Cluster, redis::Redis};

/// Imports a file on a cluster.
async fn import_with(cluster: &Cluster) {
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;
    cluster.origin.add("file", b"bytes");
    let id = api.import(&cluster.origin.url("file"), "r").await;
    api.wait_for(&id, "succeeded").await;
}

fn log(cluster: &Cluster, program: &str) -> String {
    std::fs::read_to_string(cluster.logs().join(format!("{program}.log"))).unwrap()
}

#[tokio::test]
async fn a_user_with_a_password_and_a_database_number_work() {
    let redis = Redis::start_with(&[
        "--user",
        "media",
        "on",
        ">pass-word",
        "~media-tickets*",
        "&*",
        "+@all",
        "-@admin",
    ])
    .await;
    let url = format!("redis://media:pass-word@127.0.0.1:{}/3", redis.port());
    let cluster = Cluster::start().await.with("REDIS_URL", &url);
    import_with(&cluster).await;
    assert!(!log(&cluster, "api").contains("cannot be used"));
    let keys = redis.command(&["-n", "3", "DBSIZE"]).unwrap();
    assert_ne!(keys, "0");
    assert_eq!(redis.command(&["-n", "0", "DBSIZE"]).unwrap(), "0");
}

#[tokio::test]
async fn a_wrong_password_is_logged_and_jobs_still_run() {
    let redis =
        Redis::start_with(&["--user", "media", "on", ">pass-word", "~*", "&*", "+@all"]).await;
    let url = format!("redis://media:wrong@127.0.0.1:{}", redis.port());
    let cluster = Cluster::start().await.with("REDIS_URL", &url);
    import_with(&cluster).await;
    let log = log(&cluster, "api");
    assert!(log.contains("check the user and the password"), "{log}");
    assert!(!log.contains("wrong@"), "{log}");
}

#[tokio::test]
async fn an_untrusted_certificate_is_logged_and_jobs_still_run() {
    let cluster = Cluster::start().await;
    let authority = media_testkit::origin::Authority::generate();
    let front = authority.front(cluster.redis.port()).await;
    let cluster = cluster.with("REDIS_URL", &format!("rediss://{}", front.address()));
    import_with(&cluster).await;
    let log = log(&cluster, "api");
    assert!(log.contains("certificate is not trusted"), "{log}");
}

#[tokio::test]
async fn redis_in_cluster_mode_is_refused_with_a_message() {
    let redis = Redis::start_with(&["--cluster-enabled", "yes"]).await;
    let cluster = Cluster::start().await.with("REDIS_URL", &redis.url());
    let output = std::process::Command::new(media_testkit::programs::path("media-api"))
        .env_clear()
        .envs(cluster.variables())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("REDIS_URL") && said.contains("cluster"),
        "{said}"
    );
}
