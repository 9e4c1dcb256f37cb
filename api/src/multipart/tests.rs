use super::*;

/// A part of a form: field, file, type, content.
type Part = (Option<String>, Option<String>, Option<String>, Vec<u8>);

/// Parses a form that arrives in chunks of a size.
async fn read(form: &[u8], boundary: &str, piece: usize) -> Result<Vec<Part>, String> {
    let pieces: Vec<io::Result<Bytes>> = form
        .chunks(piece.max(1))
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let mut form = Multipart::new(futures_util::stream::iter(pieces), boundary, 1 << 20);
    let mut parts = Vec::new();
    while let Some(head) = form.next_part().await.map_err(|error| error.to_string())? {
        let mut content = Vec::new();
        while let Some(chunk) = form.chunk().await.map_err(|error| error.to_string())? {
            assert!(!chunk.is_empty());
            content.extend_from_slice(&chunk);
        }
        let filename = head.names.filename.map(|name| name.as_str().to_owned());
        parts.push((head.names.name, filename, head.content_type, content));
    }
    Ok(parts)
}

fn part(name: &str, filename: Option<&str>, content_type: Option<&str>, content: &[u8]) -> Part {
    (
        Some(name.to_owned()),
        filename.map(str::to_owned),
        content_type.map(str::to_owned),
        content.to_vec(),
    )
}

#[tokio::test]
async fn forms_of_all_spellings_are_parsed_in_chunks_of_any_size() {
    let plain = b"--cut\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--cut\r\n\
        Content-Disposition: form-data; name=\"media\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        two\r\n--cu\r\n--cut--\r\nepilogue";
    let odd = b"preamble\r\n--cut \t\r\ncontent-disposition : form-data;\r\n\tfilename*=UTF-8''%C3%A9.txt;\n name=media\r\n\
        Content-Type:text/plain;\r\n charset=utf-8\r\nX-Junk\r\n\r\n\r\n--cut--";
    let bare =
        b"--cut\nContent-Disposition: form-data; name=a\n\n1\r\n--cut\r\n\r\nnameless\r\n--cut--";
    for piece in 1..80 {
        assert_eq!(
            read(plain, "cut", piece).await.unwrap(),
            [
                part("a", None, None, b"1"),
                part("media", Some("x.txt"), Some("text/plain"), b"two\r\n--cu"),
            ]
        );
        assert_eq!(
            read(odd, "cut", piece).await.unwrap(),
            [part(
                "media",
                Some("é.txt"),
                Some("text/plain; charset=utf-8"),
                b""
            )]
        );
        assert_eq!(
            read(bare, "cut", piece).await.unwrap(),
            [
                part("a", None, None, b"1"),
                (None, None, None, b"nameless".to_vec())
            ]
        );
    }
}

#[tokio::test]
async fn broken_forms_are_rejected() {
    let long = [b"--cut\r\nX: ".as_slice(), &vec![b'x'; 70_000]].concat();
    let preamble = [vec![b'x'; 70_000].as_slice(), b"\r\n--cut--"].concat();
    for (form, error) in [
        (&b""[..], MultipartError::Incomplete),
        (b"--cut", MultipartError::Incomplete),
        (b"--cut\r\n", MultipartError::Incomplete),
        (b"--cut\r\nX: y\r\n\r\nabc", MultipartError::Incomplete),
        (
            b"--cut\r\nX: y\r\n\r\nabc\r\n--cut",
            MultipartError::Incomplete,
        ),
        (b"--cutter\r\n\r\n\r\n--cut--", MultipartError::BadBoundary),
        (&long, MultipartError::OverheadTooLarge),
        (&preamble, MultipartError::OverheadTooLarge),
        (&vec![b'x'; 2 << 20], MultipartError::OverheadTooLarge),
    ] {
        let found = read(form, "cut", 1000).await;
        assert_eq!(found, Err(error.to_string()));
    }
    let large = [
        b"--cut\r\n\r\n".as_slice(),
        &vec![b'x'; 2 << 20],
        b"\r\n--cut--",
    ]
    .concat();
    let found = read(&large, "cut", 1000).await;
    assert_eq!(found, Err(MultipartError::TooLarge(1 << 20).to_string()));
}

#[test]
fn boundaries_are_read_from_content_types() {
    for (content_type, expected) in [
        ("multipart/form-data; boundary=cut", Some("cut")),
        ("Multipart/Form-Data;BOUNDARY=\"a b\"", Some("a b")),
        (
            "multipart/form-data; boundary=----=_Part_1=",
            Some("----=_Part_1="),
        ),
        (
            "multipart/form-data; boundary=a:b/c?d; charset=utf-8",
            Some("a:b/c?d"),
        ),
        (
            "multipart/form-data; charset=utf-8; boundary=cut",
            Some("cut"),
        ),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data", None),
    ] {
        assert!(is_form(content_type), "{content_type}");
        assert_eq!(
            boundary(content_type).as_deref(),
            expected,
            "{content_type}"
        );
    }
    assert!(!is_form("application/json"));
    assert!(!is_form("multipart/mixed; boundary=cut"));
}
