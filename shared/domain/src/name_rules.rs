//! The rule for names that clients choose: resources, keys, file names, unicities, subjects and projects.

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// A name that cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than [`MAX_NAME_BYTES`].
    #[error("must not be longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// It holds control characters, or marks that reverse the direction of writing.
    #[error("must not contain control characters")]
    Control,
    /// It holds `/` or `\` where one segment of a path is expected.
    #[error("must not contain `/` or `\\`")]
    Separator,
    /// It is `.` or `..` where one segment of a path is expected.
    #[error("must not be `.` or `..`")]
    Dots,
    /// It has two separators in a row, or one at either end, where a path is expected.
    #[error("must not have empty segments")]
    EmptySegment,
    /// It has a blank at either end.
    #[error("must not start or end with a blank")]
    Blank,
}

/// Checks a name: 1 to 255 bytes without control characters and without marks that reverse the direction of writing.
pub fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > MAX_NAME_BYTES {
        Err(NameError::TooLong)
    } else if text.chars().any(is_unsafe_character) {
        Err(NameError::Control)
    } else {
        Ok(())
    }
}

/// Checks a name that is one segment of a path.
pub(crate) fn check_segment(text: &str) -> Result<(), NameError> {
    check(text)?;
    if text.contains(['/', '\\']) {
        Err(NameError::Separator)
    } else if text == "." || text == ".." {
        Err(NameError::Dots)
    } else if text.trim() != text {
        Err(NameError::Blank)
    } else {
        Ok(())
    }
}

/// Checks a name that is a path of segments, separated by `/`.
pub(crate) fn check_segments(text: &str) -> Result<(), NameError> {
    check(text)?;
    text.split('/').try_for_each(|segment| {
        if segment.is_empty() {
            return Err(NameError::EmptySegment);
        }
        check_segment(segment)
    })
}

/// Control characters, and the bidirectional marks of Unicode UAX #9 that make a name read backwards
/// (`gpj.exe` shown as `exe.jpg`).
pub(crate) fn is_unsafe_character(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The other marks that change the direction of writing (Unicode's `Bidi_Control`), and line separators. Clients may
/// use them in names of their own; names that origins send are cleared of them.
pub(crate) fn is_invisible_mark(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_visible() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check(&"é".repeat(127)), Ok(()));
        assert_eq!(check(&"é".repeat(128)), Err(NameError::TooLong));
        for text in ["a\0b", "a\nb", "\u{202e}gpj", "\u{2066}a"] {
            assert_eq!(check(text), Err(NameError::Control), "{text:?}");
        }
        for text in ["a/b", ".", " a ", "Ünïcode 名"] {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
    }
}
