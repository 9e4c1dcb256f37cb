//! `media put`, `media get` and `media rm`.

use std::process::Stdio;

use media_testkit::service::Installation;
use tokio::io::AsyncWriteExt as _;

use super::{MEDIA, error_of, json_lines, output_of};
use crate::fixture::file;

#[tokio::test]
async fn files_are_put_got_and_removed() {
    let installation = Installation::new(MEDIA);
    let picture = file("swirl.png");
    let at = |name: &str| installation.directory().join(name);
    std::fs::write(at("in.png"), &picture).unwrap();

    // The first upload comes before any service has run.
    let said = output_of(&installation, &["put", "in.png", "pics/a", "--public"]).await;
    assert!(
        said.starts_with("stored pics/a (in.png, image/png, "),
        "{said}"
    );
    let media = json_lines(&output_of(&installation, &["ls", "pics/a", "--json"]).await);
    assert_eq!(media[0]["attributes"]["public"], true);

    let said = output_of(&installation, &["get", "pics/a", "-o", "out.png"]).await;
    assert!(said.starts_with("pics/a → out.png (image/png, "), "{said}");
    assert_eq!(std::fs::read(at("out.png")).unwrap(), picture);
    // Without --output, the file has the media's name, and replaces none.
    let said = error_of(&installation, &["get", "pics/a"], 1).await;
    assert!(
        said.contains("in.png exists") && said.contains("--force"),
        "{said}"
    );
    std::fs::write(at("in.png"), "old").unwrap();
    assert_eq!(
        output_of(&installation, &["get", "pics/a", "--force", "-q"]).await,
        ""
    );
    assert_eq!(std::fs::read(at("in.png")).unwrap(), picture);
    let mut command = installation.command(&["get", "pics/a", "-o", "-"]);
    assert_eq!(command.output().await.unwrap().stdout, picture);

    let output = installation
        .command(&["rm", "pics/none", "pics/a"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "one of them is not there");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "deleted pics/a\n"
    );
    assert_eq!(output_of(&installation, &["ls", "-q"]).await, "");
    let said = error_of(&installation, &["get", "pics/a", "-o", "gone.png"], 1).await;
    assert!(
        said.contains("the service in this process refused"),
        "{said}"
    );
    let mut names = std::fs::read_dir(installation.directory()).unwrap();
    assert!(names.all(|entry| {
        !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("part")
    }));
}

#[tokio::test]
async fn standard_input_is_uploaded_and_names_of_origins_stay_in_the_directory() {
    let installation = Installation::new(MEDIA);
    let mut command = installation.command(&["put", "-", "notes/1", "--filename", "..hidden.txt"]);
    let mut put = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = put.stdin.take().unwrap();
    input.write_all(b"some text").await.unwrap();
    drop(input);
    assert!(put.wait().await.unwrap().success());
    let said = output_of(&installation, &["get", "notes/1"]).await;
    assert!(said.contains("→ hidden.txt"), "{said}");
    let text = std::fs::read(installation.directory().join("hidden.txt")).unwrap();
    assert_eq!(text, b"some text");
    let said = error_of(&installation, &["put", "-", "notes/2"], 2).await;
    assert!(said.contains("--filename"), "{said}");
    let wrong = "0".repeat(64);
    let arguments = ["put", "hidden.txt", "notes/2", "--sha256", &wrong];
    let said = error_of(&installation, &arguments, 1).await;
    assert!(
        said.contains("sha256") || said.contains("checksum"),
        "{said}"
    );
}
