//! Base64 as Kubernetes reads and writes it, with buffers that are wiped.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// Go's `base64.StdEncoding`: padding is a must, and the bits behind the last byte may be anything.
const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Reads base64. Line ends do not count, as in Go. `None` when it is none: why not would tell a part of it.
pub(crate) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut joined = Zeroizing::new(Vec::new());
    let text = if text.contains(['\r', '\n']) {
        // Never more than the text has, so that no copy is left behind by growing.
        joined.reserve_exact(text.len());
        joined.extend(text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')));
        &joined[..]
    } else {
        text.as_bytes()
    };
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// Writes base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// How many bytes the base64 of so many bytes has.
pub(crate) fn encoded_len(length: usize) -> usize {
    length.div_ceil(3).saturating_mul(4)
}

/// Appends base64.
pub(crate) fn append(bytes: &[u8], to: &mut Vec<u8>) {
    let start = to.len();
    to.resize(start + encoded_len(bytes.len()), 0);
    // The room is exactly what it takes.
    let written = STANDARD.encode_slice(bytes, &mut to[start..]).unwrap_or(0);
    to.truncate(start + written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_go_reads_it() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm\n9v\r\nZg=\n=\n", Some(b"foof")),
            ("+/+/", Some(b"\xfb\xff\xbf")),
            // The bits behind the last byte.
            ("Zh==", Some(b"f")),
            ("Zg", None),
            ("Zg=", None),
            ("Zg===", None),
            ("Zg==Zg==", None),
            ("Zm 9v", None),
            ("-_-_", None),
            ("Zm9v=", None),
            ("=", None),
            ("Z", None),
            ("é", None),
        ] {
            let bytes = decode(text);
            assert_eq!(bytes.as_deref().map(Vec::as_slice), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for length in 0..40_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            let mut appended = b"x".to_vec();
            append(&bytes, &mut appended);
            assert_eq!(appended[1..], *encode(&bytes).as_bytes());
            assert_eq!(appended.len(), 1 + encoded_len(bytes.len()));
            assert_eq!(decode(&encode(&bytes)).as_deref(), Some(&bytes));
        }
    }
}
