//! The facts that the bytes of a media state about themselves, beside their type.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The size and duration of a media, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The size of a picture, or of the pictures of a film.
    #[serde(flatten)]
    pub dimensions: Option<Dimensions>,
    /// The Exif orientation of a picture, or the rotation of a film, if the file states one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
    /// The duration of sound or film, to the millisecond. Written as a number of seconds.
    #[serde(serialize_with = "as_seconds", skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
}

/// The size of a picture in pixels, as it is shown: its orientation is applied, the shape of its pixels is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dimensions {
    /// Pixels across; not 0.
    pub width: u32,
    /// Pixels down; not 0.
    pub height: u32,
}

/// The orientation of a stored picture, as Exif numbers it (CIPA DC-008, tag 274): 1 is upright, 3, 6 and 8 are shown
/// rotated by 180°, 90° and 270° clockwise, and 2, 4, 5 and 7 are mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Orientation(u8);

impl Orientation {
    /// Rotated by 90° clockwise.
    pub const ROTATED_90: Self = Self(6);
    /// Rotated by 180°.
    pub const ROTATED_180: Self = Self(3);
    /// Rotated by 270° clockwise.
    pub const ROTATED_270: Self = Self(8);

    /// Takes an Exif orientation. None outside 1…8.
    pub fn new(number: u32) -> Option<Self> {
        u8::try_from(number)
            .ok()
            .filter(|number| (1..=8).contains(number))
            .map(Self)
    }

    /// The Exif orientation.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Whether the sides of the picture are exchanged when it is shown.
    fn swaps_sides(self) -> bool {
        self.0 >= 5
    }
}

impl Dimensions {
    /// None if either side is 0.
    pub fn new(width: u32, height: u32) -> Option<Self> {
        (width > 0 && height > 0).then_some(Self { width, height })
    }

    /// The size of a stored picture as it is shown with an orientation.
    #[must_use]
    pub fn oriented(self, orientation: Option<Orientation>) -> Self {
        match orientation {
            Some(orientation) if orientation.swaps_sides() => Self {
                width: self.height,
                height: self.width,
            },
            _ => self,
        }
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
