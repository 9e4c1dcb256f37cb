//! Type, name, size and charset of real files, compared with the output of `file`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use media_testkit::{nginx::Nginx, service::Installation};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::fixture::MEDIA;

/// The minimum number of files in the corpus.
const MIN_FILES: usize = 60;
/// Extensions of packaging files, which are skipped.
const PACKAGING: [&str; 9] = [
    "py", "pyi", "typed", "cfg", "in", "toml", "egg-info", "gz", "md",
];

/// Types with several names: the one that `file` prints and the one that the service stores.
const NAMES: [(&str, &str); 3] = [
    // The name in the standard, instead of a program's own name.
    ("audio/x-m4a", "audio/mp4"),
    ("audio/x-hx-aac-adts", "audio/aac"),
    ("application/x-rar", "application/vnd.rar"),
];

/// Files with another type than `file` prints: name, stored type, reason.
const DIFFERENCES: [(&str, &str, &str); 5] = [
    (
        "sample.heic",
        "image/heic",
        "its brands name HEIC, of which HEIF is the container",
    ),
    (
        "test (single).vmdk",
        "application/x-virtualbox-vmdk",
        "a disk, which `file` does not know",
    ),
    (
        "test (split).vmdk",
        "application/x-virtualbox-vmdk",
        "the text that describes a disk in parts",
    ),
    ("test.3g2", "video/3gpp2", "its brand is of 3GPP2"),
    (
        "test.wmv",
        "video/x-ms-wmv",
        "Windows Media in ASF, as its name says",
    ),
];

#[tokio::test]
async fn types_of_real_files_match_the_tool_file() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let files = corpus();
    assert!(
        files.len() >= MIN_FILES,
        "{} files; run `make install`",
        files.len()
    );
    let mut wrong = Vec::new();
    for (n, path) in files.iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        nginx.add(name, &bytes);
        let url = nginx.url(&utf8_percent_encode(name, NON_ALPHANUMERIC).to_string());
        let job = service.import(&url, "corpus", Some(&n.to_string())).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{name}: {job}");
        let media = service.media(&format!("corpus/{n}")).await;
        assert_eq!(media["filename"], name);
        assert_eq!(media["size"], bytes.len(), "{name}");
        if let Some(difference) = difference(path, name, &media) {
            wrong.push(difference);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Describes how a media differs from the output of `file`, unless the difference is expected.
fn difference(path: &Path, name: &str, media: &Value) -> Option<String> {
    let said = file(path, "--mime-type");
    let kept = media["mime_type"].as_str().unwrap();
    let is_known = kept == said
        || NAMES.contains(&(said.as_str(), kept))
        || DIFFERENCES
            .iter()
            .any(|(known, mime, _)| *known == name && *mime == kept);
    let encoding = file(path, "--mime-encoding");
    let charset = media["charset"].as_str();
    let is_text = charset.is_some() || kept.starts_with("text/") || kept.ends_with("xml");
    let same_charset = match (charset, encoding.as_str()) {
        // Binary data has no charset, and ASCII is a subset of most charsets.
        (None, "binary" | "us-ascii") => true,
        (None, _) => !is_text,
        (Some(charset), encoding) => charset == encoding,
    };
    (!is_known || !same_charset)
        .then(|| format!("(\"{name}\", \"{kept}\"), // file: {said}; {encoding}, kept {charset:?}"))
}

fn file(path: &Path, question: &str) -> String {
    let mut command = Command::new("file");
    let output = command
        .args(["--brief", question])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the files of the packages that `make install` downloads, and those beside the tests, each name
/// once.
fn corpus() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["tests/files", "samples", "../../target/corpus"] {
        collect(&here.join(folder), &mut found);
    }
    found.sort();
    let mut names = BTreeSet::new();
    found.retain(|path| names.insert(path.file_name().map(ToOwned::to_owned)));
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() && extension == Some("egg-info") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if extension.is_some_and(|extension| !PACKAGING.contains(&extension)) {
            found.push(path);
        }
    }
}
