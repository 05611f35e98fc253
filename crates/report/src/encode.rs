//! Bytes as the text that a single HTML file needs: Base64 (RFC 4648) for pictures and for the digest of
//! the style sheet, by which the page's policy knows it.

use sha2::{Digest as _, Sha256};

use crate::error::ReportError;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_into(text: &mut String, bytes: &[u8]) {
    text.reserve(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit > chunk.len() { '=' } else { ALPHABET[value as usize].into() });
        }
    }
}

/// A PNG as the address of an image that needs no request.
pub(crate) fn png_data_uri(png: &[u8]) -> String {
    let mut uri = String::from("data:image/png;base64,");
    base64_into(&mut uri, png);
    uri
}

/// The SHA-256 by which a content security policy admits exactly one inline style sheet.
pub(crate) fn style_digest(css: &str) -> String {
    let mut digest = String::new();
    base64_into(&mut digest, &Sha256::digest(css.as_bytes()));
    digest
}

/// Width and height from a PNG's first chunk.
///
/// # Errors
/// [`ReportError::Picture`] when the bytes do not begin as a PNG of at least one pixel does.
pub(crate) fn png_size(picture: &str, png: &[u8]) -> Result<(usize, usize), ReportError> {
    let number = |at: usize| {
        let bytes = png.get(at..at + 4)?;
        Some(bytes.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
    };
    let is_png = png.starts_with(b"\x89PNG\r\n\x1a\n") && png.get(12..16) == Some(b"IHDR");
    match (is_png, number(16), number(20)) {
        (true, Some(width), Some(height)) if width > 0 && height > 0 => Ok((width, height)),
        _ => Err(ReportError::Picture {
            picture: picture.to_owned(),
            message: format!("expected a PNG, found {} bytes of something else", png.len()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_follows_the_test_vectors_of_rfc_4648() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, expected) in vectors {
            let mut text = String::new();
            base64_into(&mut text, bytes.as_bytes());
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn rejects_pictures_that_are_not_png() {
        for bytes in
            [&b""[..], b"<svg>", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\0\0"]
        {
            assert!(png_size("x", bytes).is_err());
        }
        let ok = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x02\0\0\0\x03";
        assert_eq!(png_size("x", ok).unwrap(), (258, 3));
    }
}
