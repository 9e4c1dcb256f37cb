use proptest::prelude::*;

use super::*;
use media_domain::media::Orientation;
use media_ingest::HEAD_BYTES;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";
const GIF: &[u8] = b"GIF89a\x40\x01\xc8\0\0\0\0";

/// Files made by ffmpeg: `tests/samples/make.sh`.
macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../tests/samples/", $name)).as_slice())),*]
    };
}

const SAMPLES: [(&str, &[u8]); 16] = samples![
    "moov-first.mp4",
    "moov-last.mp4",
    "video.mov",
    "turned-hevc.mp4",
    "fragmented.mp4",
    "video.mkv",
    "video.webm",
    "streamed.webm",
    "sound.m4a",
    "sound.ogg",
    "sound.opus",
    "sound.flac",
    "sound.wav",
    "sound.mp3",
    "no-count.mp3",
    "sound.aac",
];

fn sample(name: &str) -> &'static [u8] {
    SAMPLES.iter().find(|sample| sample.0 == name).unwrap().1
}

/// The media type of a sample.
fn type_of(name: &str) -> &'static str {
    match name.rsplit_once('.').unwrap().1 {
        "mp3" => "audio/mpeg",
        _ => "video/any",
    }
}

/// The metadata of a file, and the ranges that were read beyond its head.
fn metadata_and_reads(bytes: &[u8], mime: &str) -> (Metadata, Vec<Range<u64>>) {
    let head = bytes[..bytes.len().min(HEAD_BYTES)].to_vec();
    let mut file = File::new(
        head.into(),
        bytes.len() as u64,
        Kind::from_mime(mime).unwrap(),
    );
    let mut reads = Vec::new();
    loop {
        match file.step() {
            Step::Found(found) => return (found, reads),
            Step::Read(range) => {
                let place =
                    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                file.window
                    .add(range.start, Bytes::copy_from_slice(&bytes[place]));
                reads.push(range);
            }
        }
    }
}

fn known(dimensions: Option<(u32, u32)>, milliseconds: impl Into<Option<u64>>) -> Metadata {
    Metadata {
        dimensions: dimensions.map(|(width, height)| Dimensions { width, height }),
        duration: milliseconds.into().map(Duration::from_millis),
        orientation: None,
    }
}

/// A box of ISO/IEC 14496-12.
fn atom(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).unwrap();
    [&size.to_be_bytes(), kind.as_slice(), content].concat()
}

/// A movie with `padding` bytes inserted after its `ftyp` box.
fn padded(name: &str, padding: usize) -> Vec<u8> {
    let movie = sample(name);
    let (kind, rest) = movie.split_at(32);
    [kind, &atom(*b"free", &vec![0; padding]), rest].concat()
}

#[test]
fn images_have_dimensions() {
    assert_eq!(
        metadata_and_reads(PNG, "image/png").0,
        known(Some((640, 480)), None)
    );
    assert_eq!(
        metadata_and_reads(GIF, "image/gif").0,
        known(Some((320, 200)), None)
    );
}

/// An Exif block with an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";
    [tiff.as_slice(), &[orientation], &[0; 6]].concat()
}

/// The head of a JPEG file of 640 × 480 pixels.
fn jpeg(exif: &[u8]) -> Vec<u8> {
    let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
    let frame = b"\xff\xc0\0\x11\x08\x01\xe0\x02\x80\x03\x01\x22\0\x02\x11\x01\x03\x11\x01";
    let scan = b"\xff\xda\0\x02";
    [
        b"\xff\xd8\xff\xe1",
        length.as_slice(),
        b"Exif\0\0",
        exif,
        frame,
        scan,
    ]
    .concat()
}

/// A PNG file of 640 × 480 pixels without content.
fn png(exif: &[u8]) -> Vec<u8> {
    let length = u32::try_from(exif.len()).unwrap().to_be_bytes();
    [PNG, &[0; 4], &length, b"eXIf", exif, &[0; 4]].concat()
}

/// A WebP file of 640 × 480 pixels, whose Exif block comes after a large picture.
fn webp(exif: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [
            kind.as_slice(),
            &length,
            content,
            &vec![0; content.len() % 2],
        ]
        .concat()
    };
    let header = [0x08, 0, 0, 0, 0x7f, 0x02, 0, 0xdf, 0x01, 0];
    let chunks = [
        chunk(b"VP8X", &header),
        chunk(b"VP8 ", &vec![0; 300_001]),
        chunk(b"EXIF", exif),
    ]
    .concat();
    chunk(b"RIFF", &[b"WEBP", chunks.as_slice()].concat())
}

#[test]
fn images_have_the_size_with_which_they_are_shown() {
    for orientation in 1..=8 {
        let shown = if orientation < 5 {
            (640, 480)
        } else {
            (480, 640)
        };
        let expected = Metadata {
            orientation: Orientation::new(orientation.into()),
            ..known(Some(shown), None)
        };
        let exif = exif(orientation);
        assert_eq!(metadata_and_reads(&jpeg(&exif), "image/jpeg").0, expected);
        assert_eq!(metadata_and_reads(&png(&exif), "image/png").0, expected);
        let (found, reads) = metadata_and_reads(&webp(&exif), "image/webp");
        assert_eq!((found, reads.len()), (expected, 1));
    }
    for broken in [0, 9] {
        let found = metadata_and_reads(&jpeg(&exif(broken)), "image/jpeg").0;
        assert_eq!(found, known(Some((640, 480)), None), "{broken}");
    }
}

#[test]
fn films_have_the_size_with_which_they_are_shown() {
    let stored = sample("turned-hevc.mp4");
    let header = stored.windows(4).position(|kind| kind == b"tkhd").unwrap();
    for (matrix, orientation, shown) in [
        ([1_i32, 0, 0, 1], None, (64, 48)),
        ([0, 1, -1, 0], Some(Orientation::ROTATED_90), (48, 64)),
        ([-1, 0, 0, -1], Some(Orientation::ROTATED_180), (64, 48)),
        ([0, -1, 1, 0], Some(Orientation::ROTATED_270), (48, 64)),
        ([2, 0, 0, 2], None, (64, 48)),
    ] {
        let mut film = stored.to_vec();
        // Two columns of three are used.
        for (entry, value) in [0, 1, 3, 4].into_iter().zip(matrix) {
            let at = header + 4 + 40 + 4 * entry;
            film[at..at + 4].copy_from_slice(&(value << 16).to_be_bytes());
        }
        let expected = Metadata {
            orientation,
            ..known(Some(shown), 1500)
        };
        assert_eq!(
            metadata_and_reads(&film, "video/mp4").0,
            expected,
            "{matrix:?}"
        );
    }
}

#[test]
fn audio_and_video_have_a_duration() {
    let dimensions = Some((64, 48));
    for (name, expected) in [
        ("moov-first.mp4", known(dimensions, 1500)),
        ("moov-last.mp4", known(dimensions, 1500)),
        ("video.mov", known(dimensions, 1500)),
        ("turned-hevc.mp4", known(dimensions, 1500)),
        ("fragmented.mp4", known(dimensions, None)),
        ("video.mkv", known(dimensions, 1628)),
        ("video.webm", known(dimensions, 1532)),
        ("streamed.webm", known(dimensions, None)),
        ("sound.m4a", known(None, 1500)),
        ("sound.ogg", known(None, 1500)),
        ("sound.opus", known(None, 1500)),
        ("sound.flac", known(None, 1500)),
        ("sound.wav", known(None, 1500)),
        ("sound.mp3", known(None, 1500)),
        // Only counting the frames would yield the duration.
        ("no-count.mp3", known(None, None)),
        ("sound.aac", known(None, None)),
    ] {
        assert_eq!(
            metadata_and_reads(sample(name), type_of(name)),
            (expected, vec![]),
            "{name}"
        );
    }
}

#[test]
fn headers_beyond_the_head_are_read_from_storage() {
    let movie = padded("moov-last.mp4", 300_000);
    let (found, reads) = metadata_and_reads(&movie, "video/mp4");
    assert_eq!(found, known(Some((64, 48)), 1500));
    assert_eq!(reads.len(), 1, "{reads:?}");

    let tag = [b"ID3\x04\0\0\0\x12\x27\x60".as_slice(), &vec![0; 300_000]].concat();
    let (found, reads) = metadata_and_reads(&[&tag, sample("sound.mp3")].concat(), "audio/mpeg");
    assert_eq!(found, known(None, 1500));
    assert_eq!(reads.len(), 1, "{reads:?}");

    // The last page determines the duration; the pages before it can be skipped.
    let ogg = sample("sound.ogg");
    let last = ogg
        .windows(4)
        .rposition(|signature| signature == b"OggS")
        .unwrap();
    let long = [&ogg[..last], &vec![0; 300_000], &ogg[last..]].concat();
    let (found, reads) = metadata_and_reads(&long, "audio/ogg");
    assert_eq!(found, known(None, 1500));
    assert_eq!(reads.len(), 1, "{reads:?}");
}

#[test]
fn malformed_files_and_other_types_have_no_metadata() {
    let mut none = b"GIF89a".to_vec();
    none.extend([0; 7]);
    for (bytes, mime) in [
        (&PNG[..20], "image/png"),
        (&none, "image/gif"),
        (b"", "image/jpeg"),
        (b"\xff\xd8\xff\xc0", "image/jpeg"),
        (PNG, "video/mp4"),
        (b"", "audio/mpeg"),
        (b"\0\0\0\x08ftyp", "video/mp4"),
    ] {
        assert_eq!(
            metadata_and_reads(bytes, mime),
            (known(None, None), vec![]),
            "{mime}"
        );
    }
    for mime in ["text/plain", "application/zip", "video", ""] {
        assert_eq!(Kind::from_mime(mime), None, "{mime}");
    }
}

#[test]
fn a_malicious_movie_is_read_with_a_limited_number_of_reads() {
    let small = |kind: [u8; 4], n: usize| atom(kind, b"").repeat(n);
    let deep = (0..200).fold(Vec::new(), |inner, _| atom(*b"moov", &inner));
    // Each box starts beyond the bytes read for the one before.
    let mut far = atom(*b"ftyp", b"");
    while far.len() < 8 << 20 {
        far.extend(atom(*b"free", &vec![0; 200_000]));
    }
    for (hostile, reads) in [
        (small(*b"free", 2_000_000), MAX_READS),
        (atom(*b"moov", &small(*b"trak", 2_000_000)), MAX_READS),
        (far, MAX_READS),
        (deep, 0),
        // A box that ends before it begins, one that ends at the largest offset, and boxes up to the end of the file.
        (b"\0\0\0\x07moov\0\0\0\x08mvhd".to_vec(), 0),
        (
            b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            0,
        ),
        (b"\0\0\0\x01moov\0\0\0\0\0\0\0\0".to_vec(), 0),
        (b"\0\0\0\0moov\0\0\0\0trak\0\0\0\0mdia".repeat(100), 0),
    ] {
        assert_eq!(metadata_and_reads(&hostile, "video/mp4").1.len(), reads);
    }
}

#[test]
fn implausible_durations_are_none() {
    assert_eq!(duration_of(0, 1000), None);
    assert_eq!(duration_of(1, 0), None);
    assert_eq!(duration_of(u64::MAX, 1), None);
    assert_eq!(duration_of(1, 1_000_000), None);
    assert_eq!(
        duration_of(319_104, 44_100),
        Some(Duration::from_millis(7236))
    );
}

#[test]
fn unknown_fields_are_not_serialized() {
    let serialized = |found| serde_json::to_string(&found).unwrap();
    assert_eq!(
        serialized(known(Some((64, 48)), 7223)),
        r#"{"width":64,"height":48,"duration":7.223}"#
    );
    assert_eq!(serialized(known(None, 60_000)), r#"{"duration":60.0}"#);
    assert_eq!(
        serialized(known(Some((1, 1)), None)),
        r#"{"width":1,"height":1}"#
    );
}

/// Checks the limits on reads, and that the duration is plausible.
fn check_limits(bytes: &[u8], mime: &str) {
    let (found, reads) = metadata_and_reads(bytes, mime);
    assert!(reads.len() <= MAX_READS);
    assert!(reads.iter().all(|read| read.end - read.start <= READ_BYTES));
    assert!(
        found
            .duration
            .is_none_or(|duration| duration <= MAX_DURATION)
    );
}

#[test]
fn truncated_samples_are_parsed_within_the_limits() {
    for (name, bytes) in SAMPLES {
        for end in (0..bytes.len().min(2500)).chain([bytes.len() - 1]) {
            check_limits(&bytes[..end], type_of(name));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_parsed_within_the_limits(mut bytes: Vec<u8>, kind in 0..14_usize) {
        const SIGNATURES: [&[u8]; 14] = [
            PNG, GIF, b"\xff\xd8\xff\xe1", b"RIFF\0\0\0\0WEBPVP8X", b"II*\0",
            b"\0\0\0\x18ftypavif", b"\xff\x0a", b"BM",
            b"\x1a\x45\xdf\xa3", b"OggS\0\x02", b"RIFF\xff\xff\xff\xffWAVE", b"fLaC\0\0\0\x22",
            b"\xff\xfb\x90\0", b"ID3\x04\0\0\0\0\0\0",
        ];
        bytes.splice(0..0, SIGNATURES[kind].iter().copied());
        for mime in ["image/any", "video/any", "audio/mpeg"] {
            check_limits(&bytes, mime);
        }
    }

    #[test]
    fn modified_samples_are_parsed_within_the_limits(
        index in 0..SAMPLES.len(),
        changes in prop::collection::vec((0..3000_usize, prop::sample::select(vec![0, 1, 8, 127, 128, 255_u8])), 1..8),
        grown in prop::bool::ANY,
    ) {
        let (name, bytes) = SAMPLES[index];
        let mut bytes = bytes.to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if grown {
            let half = bytes.len() / 2;
            bytes.splice(half..half, vec![0; 300_000]);
        }
        check_limits(&bytes, type_of(name));
    }
}
