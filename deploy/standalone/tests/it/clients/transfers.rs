//! Uploads and downloads with the programs and libraries that users have, with their default settings.

use media_testkit::{
    service::Installation,
    tokens::{SECRET, project_token},
};
use serde_json::{Value, json};

use super::{check, run_isolated, run_isolated_with};
use crate::fixture::MEDIA;

/// Creates a file to upload. `expect STATUS COMMAND…` checks the status that a command prints.
const SETUP: &str = r#"
export HOME="$PWD" FILES="$BASE/medias/files"
head -c 3000000 /dev/urandom > file.bin
expect() {
    status=$1; shift
    answer=$("$@")
    [ "$answer" = "$status" ] || { echo "$answer instead of $status: $*"; exit 1; }
}
"#;

fn transfer(script: &str) {
    let installation = Installation::new(MEDIA);
    check(&run_isolated(&installation, &format!("{SETUP}{script}")));
}

#[tokio::test]
async fn curl_uploads_resumes_and_revalidates() {
    transfer(
        r#"
curl() { command curl -sS -w '%{http_code}' "$@"; }
expect 201 curl -o answer -T file.bin "$FILES/curl/put"
expect 200 curl -o answer -T file.bin "$FILES/curl/put"
expect 201 curl -o answer -T - "$FILES/curl/chunked" < file.bin
expect 201 curl -o answer -F media=@file.bin -F public=true "$FILES/curl/form"
expect 400 curl -o answer -C 1000 -T file.bin "$FILES/curl/put"
head -c 1000000 file.bin > put
expect 206 curl -C - -o put "$FILES/curl/put"
cmp put file.bin
# A complete file is left as it is.
expect 416 curl -C - -o put "$FILES/curl/put"
cmp put file.bin
mkdir named
expect 200 curl --output-dir named -OJ "$FILES/curl/form"
cmp named/file.bin file.bin
expect 200 curl --etag-save tag -o chunked "$FILES/curl/chunked"
cmp chunked file.bin
expect 304 curl --etag-compare tag -o chunked "$FILES/curl/chunked"
expect 200 curl -R -o dated "$FILES/curl/put"
expect 304 curl -z dated -o unchanged "$FILES/curl/put"
expect 206 curl -r 1000-1999 -o part "$FILES/curl/put"
tail -c +1001 file.bin | head -c 1000 | cmp - part
"#,
    );
}

#[tokio::test]
async fn wget_uploads_and_resumes() {
    transfer(
        r#"
# The type that wget sends by default is that of a form; the body of a PUT is a file nevertheless.
wget -q -O answer --method=PUT --body-file=file.bin "$FILES/wget/file"
grep -q '"size":3000000' answer
head -c 1000000 file.bin > file
wget -c -S "$FILES/wget/file" 2> log
grep -q 'HTTP/1.1 206' log
cmp file file.bin
# The answer 416 to a complete file is a success.
wget -q -c "$FILES/wget/file"
cmp file file.bin
wget -q -N "$FILES/wget/file"
wget -N -S "$FILES/wget/file" 2> log
grep -q 'HTTP/1.1 304' log
wget -q --spider "$FILES/wget/file"
curl -sS -o answer -F media=@file.bin "$FILES/wget/form"
mkdir named
wget -q -P named --content-disposition "$FILES/wget/form"
cmp named/file.bin file.bin
"#,
    );
}

/// The `http` backend is read-only. It lists directories from pages of links, which this service does not have, so that
/// `ls`, `cat` and `check` do not work.
#[tokio::test]
async fn rclone_downloads() {
    transfer(
        r#"
export RCLONE_CONFIG=/dev/null
curl -sS -o answer -T file.bin "$FILES/rclone/a"
curl -sS -o answer -F media=@file.bin "$FILES/rclone/b"
rclone copyurl "$FILES/rclone/a" copied
cmp copied file.bin
rclone copyurl --auto-filename "$FILES/rclone/a" named
cmp named/a file.bin
rclone copyurl --auto-filename --header-filename "$FILES/rclone/b" named
cmp named/file.bin file.bin
rclone copyto --http-url "$BASE" :http:medias/files/rclone/a single
cmp single file.bin
# The size and the time of the copy are those of the media.
rclone copyto -v --http-url "$BASE" :http:medias/files/rclone/a single 2> log
if grep Copied log; then exit 1; fi
rclone copyto -v --multi-thread-cutoff 1M --multi-thread-streams 4 --http-url "$BASE" \
    :http:medias/files/rclone/a ranges 2> log
grep -q 'Multi-thread Copied' log
cmp ranges file.bin
printf 'rclone/a\nrclone/b\n' > list
rclone copy --no-traverse --files-from list --http-url "$FILES/" :http: several
cmp several/rclone/a file.bin
cmp several/rclone/b file.bin
"#,
    );
}

#[tokio::test]
async fn requests_and_httpx_upload_and_download() {
    transfer(r#""$PYTHON" -B "$SCRIPTS/http_libraries.py" "$BASE""#);
}

/// Uploads from a page of another origin in Chromium, with forms that have the fields of Uppy 4 (none) and of earlier
/// versions (`relativePath`, `name` and `type`), and with PUT.
#[tokio::test]
async fn uppy_uploads_from_a_page() {
    let installation = Installation::new(MEDIA);
    let variables = [
        ("MEDIA_JWT_SECRET", SECRET),
        ("MEDIA_CORS_ORIGINS", "http://127.0.0.1:8000"),
        ("TOKEN", &project_token("ann", "press")),
    ];
    let script = r#"
export HOME="$PWD"
# Packages are searched beside the source.
cp "$SCRIPTS/uppy.mjs" "$CLIENTS/"
"$CLIENTS/node_modules/.bin/esbuild" "$CLIENTS/uppy.mjs" --bundle --format=iife --log-level=warning \
    --outfile=origin/uppy.js
echo '<!doctype html><meta charset="utf-8"><script src="uppy.js"></script>' > origin/index.html
"$PYTHON" -B "$SCRIPTS/uppy.py" "$ORIGIN/" "$BASE" "$TOKEN"
"#;
    let output = run_isolated_with(&installation, &variables, script);
    check(&output);
    let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let (range, uploads) = results.split_last().unwrap();
    assert_eq!(
        range,
        &json!({ "key": "range", "status": 206, "bytes": 100 })
    );
    assert_eq!(uploads.len(), 5, "{uploads:?}");
    for result in uploads {
        assert_eq!(result["failed"], json!([]), "{result}");
        assert_eq!(result["progress"], 300_000, "{result}");
        let answer = &result["uploaded"][0];
        assert_eq!(answer["status"], 201, "{result}");
        let media = &answer["body"]["data"]["attributes"];
        assert_eq!(media["size"], 300_000, "{result}");
        assert_eq!(media["mime_type"], "image/x-test", "{result}");
        assert_eq!(media["public"], result["key"] == "public", "{result}");
        let filename = if result["key"] == "put" {
            "put"
        } else {
            "é \"1\".bin"
        };
        assert_eq!(media["filename"], filename, "{result}");
    }
}
