use proptest::prelude::*;

use super::*;
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

/// What the type of a sample would be.
fn type_of(name: &str) -> &'static str {
    match name.rsplit_once('.').unwrap().1 {
        "mp3" => "audio/mpeg",
        _ => "video/any",
    }
}

/// What a file says of itself, and what had to be read of it behind its head.
fn told(bytes: &[u8], mime: &str) -> (Metadata, Vec<Range<u64>>) {
    let head = bytes[..bytes.len().min(HEAD_BYTES)].to_vec();
    let mut file = File::new(head.into(), bytes.len() as u64, Kind::of(mime).unwrap());
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
    }
}

/// A box of ISO/IEC 14496-12.
fn atom(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).unwrap();
    [&size.to_be_bytes(), kind.as_slice(), content].concat()
}

/// A film whose header is followed or preceded by so many bytes of something else.
fn padded(name: &str, padding: usize) -> Vec<u8> {
    let film = sample(name);
    let (kind, rest) = film.split_at(32);
    [kind, &atom(*b"free", &vec![0; padding]), rest].concat()
}

#[test]
fn a_picture_says_its_size() {
    assert_eq!(told(PNG, "image/png").0, known(Some((640, 480)), None));
    assert_eq!(told(GIF, "image/gif").0, known(Some((320, 200)), None));
}

#[test]
fn sound_and_video_say_their_duration() {
    let pictures = Some((64, 48));
    for (name, expected) in [
        ("moov-first.mp4", known(pictures, 1500)),
        ("moov-last.mp4", known(pictures, 1500)),
        ("video.mov", known(pictures, 1500)),
        ("turned-hevc.mp4", known(pictures, 1500)),
        ("fragmented.mp4", known(pictures, None)),
        ("video.mkv", known(pictures, 1628)),
        ("video.webm", known(pictures, 1532)),
        ("streamed.webm", known(pictures, None)),
        ("sound.m4a", known(None, 1500)),
        ("sound.ogg", known(None, 1500)),
        ("sound.opus", known(None, 1500)),
        ("sound.flac", known(None, 1500)),
        ("sound.wav", known(None, 1500)),
        ("sound.mp3", known(None, 1500)),
        // Only counting its frames would tell.
        ("no-count.mp3", known(None, None)),
        ("sound.aac", known(None, None)),
    ] {
        assert_eq!(
            told(sample(name), type_of(name)),
            (expected, vec![]),
            "{name}"
        );
    }
}

#[test]
fn what_stands_behind_the_head_is_read_there() {
    let film = padded("moov-last.mp4", 300_000);
    let (found, reads) = told(&film, "video/mp4");
    assert_eq!(found, known(Some((64, 48)), 1500));
    assert_eq!(reads.len(), 1, "{reads:?}");

    let tag = [b"ID3\x04\0\0\0\x12\x27\x60".as_slice(), &vec![0; 300_000]].concat();
    let (found, reads) = told(&[&tag, sample("sound.mp3")].concat(), "audio/mpeg");
    assert_eq!(found, known(None, 1500));
    assert_eq!(reads.len(), 1, "{reads:?}");

    // The last page tells how long it is; those between may be left out.
    let ogg = sample("sound.ogg");
    let last = ogg.windows(4).rposition(|mark| mark == b"OggS").unwrap();
    let long = [&ogg[..last], &vec![0; 300_000], &ogg[last..]].concat();
    let (found, reads) = told(&long, "audio/ogg");
    assert_eq!(found, known(None, 1500));
    assert_eq!(reads.len(), 1, "{reads:?}");
}

#[test]
fn nonsense_says_nothing() {
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
        assert_eq!(told(bytes, mime), (known(None, None), vec![]), "{mime}");
    }
    for mime in ["text/plain", "application/zip", "video", ""] {
        assert_eq!(Kind::of(mime), None, "{mime}");
    }
}

#[test]
fn a_film_that_is_made_to_be_slow_ends_soon() {
    let small = |kind: [u8; 4], n: usize| atom(kind, b"").repeat(n);
    let deep = (0..200).fold(Vec::new(), |inner, _| atom(*b"moov", &inner));
    // Each is where the one before ends, far behind whatever was read.
    let mut far = atom(*b"ftyp", b"");
    while far.len() < 8 << 20 {
        far.extend(atom(*b"free", &vec![0; 200_000]));
    }
    for (hostile, reads) in [
        (small(*b"free", 2_000_000), MAX_READS),
        (atom(*b"moov", &small(*b"trak", 2_000_000)), MAX_READS),
        (far, MAX_READS),
        (deep, 0),
        // Ends before it begins; ends at the end of all numbers; goes to the end of the file.
        (b"\0\0\0\x07moov\0\0\0\x08mvhd".to_vec(), 0),
        (
            b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            0,
        ),
        (b"\0\0\0\x01moov\0\0\0\0\0\0\0\0".to_vec(), 0),
        (b"\0\0\0\0moov\0\0\0\0trak\0\0\0\0mdia".repeat(100), 0),
    ] {
        assert_eq!(told(&hostile, "video/mp4").1.len(), reads);
    }
}

#[test]
fn durations_that_cannot_be_are_none() {
    assert_eq!(seconds(0, 1000), None);
    assert_eq!(seconds(1, 0), None);
    assert_eq!(seconds(u64::MAX, 1), None);
    assert_eq!(seconds(1, 1_000_000), None);
    assert_eq!(seconds(319_104, 44_100), Some(Duration::from_millis(7236)));
}

#[test]
fn what_is_not_known_is_not_written() {
    let written = |found| serde_json::to_string(&found).unwrap();
    assert_eq!(
        written(known(Some((64, 48)), 7223)),
        r#"{"width":64,"height":48,"duration":7.223}"#
    );
    assert_eq!(written(known(None, 60_000)), r#"{"duration":60.0}"#);
    assert_eq!(
        written(known(Some((1, 1)), None)),
        r#"{"width":1,"height":1}"#
    );
}

/// Holds that so little was read as is allowed, and that what was found can be.
fn check(bytes: &[u8], mime: &str) {
    let (found, reads) = told(bytes, mime);
    assert!(reads.len() <= MAX_READS);
    assert!(reads.iter().all(|read| read.end - read.start <= READ_BYTES));
    assert!(found.duration.is_none_or(|duration| duration <= LONGEST));
}

#[test]
fn no_sample_that_ends_too_soon_makes_it_fail() {
    for (name, bytes) in SAMPLES {
        for end in (0..bytes.len().min(2500)).chain([bytes.len() - 1]) {
            check(&bytes[..end], type_of(name));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_fail(mut bytes: Vec<u8>, kind in 0..14_usize) {
        const KINDS: [&[u8]; 14] = [
            PNG, GIF, b"\xff\xd8\xff\xe1", b"RIFF\0\0\0\0WEBPVP8X", b"II*\0",
            b"\0\0\0\x18ftypavif", b"\xff\x0a", b"BM",
            b"\x1a\x45\xdf\xa3", b"OggS\0\x02", b"RIFF\xff\xff\xff\xffWAVE", b"fLaC\0\0\0\x22",
            b"\xff\xfb\x90\0", b"ID3\x04\0\0\0\0\0\0",
        ];
        bytes.splice(0..0, KINDS[kind].iter().copied());
        for mime in ["image/any", "video/any", "audio/mpeg"] {
            check(&bytes, mime);
        }
    }

    #[test]
    fn no_change_to_a_sample_makes_it_fail(
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
        check(&bytes, type_of(name));
    }
}
