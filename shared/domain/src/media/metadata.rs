//! The facts that the bytes of a media state about themselves, beside their type.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The size and duration of a media, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The size of a picture, or of the pictures of a film.
    #[serde(flatten)]
    pub dimensions: Option<Dimensions>,
    /// The duration of sound or film, to the millisecond. Written as a number of seconds.
    #[serde(serialize_with = "as_seconds", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
}

/// The size of a picture in pixels, as it is stored: neither its orientation nor the shape of its pixels is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dimensions {
    /// Pixels across; not 0.
    pub width: u32,
    /// Pixels down; not 0.
    pub height: u32,
}

impl Dimensions {
    /// None if either side is 0.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        (width > 0 && height > 0).then_some(Self { width, height })
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "ten years have fewer milliseconds than a f64 has integers"
)]
#[allow(clippy::ref_option, reason = "serde passes a reference to the field")]
fn as_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let seconds = duration.map(|duration| duration.as_millis() as f64 / 1000.0);
    seconds.serialize(serializer)
}
