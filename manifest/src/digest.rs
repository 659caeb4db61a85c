//! Digests of what is secret, which tell equal from different and nothing more.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

const PREFIX: &str = "hmac-sha256:";

/// The key of one node's digests. Without it, a short value could be found from its digest by trying.
#[derive(Clone)]
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl DigestKey {
    /// A key of random bytes.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The digest of some bytes.
    pub fn digest(&self, bytes: &[u8]) -> KeyedDigest {
        // HMAC takes keys of any length: this cannot fail.
        let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&*self.0) else {
            return KeyedDigest([0; 32]);
        };
        mac.update(bytes);
        KeyedDigest(mac.finalize().into_bytes().into())
    }
}

/// An HMAC-SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyedDigest([u8; 32]);

impl KeyedDigest {
    /// The raw digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hexadecimal digits: a file name.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for KeyedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for KeyedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no digest: the name of an algorithm, a colon and 64 hexadecimal digits in lower case"
)]
pub struct NoDigest;

impl FromStr for KeyedDigest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let hex = text.strip_prefix(PREFIX).ok_or(NoDigest)?;
        from_hex(hex).map(Self)
    }
}

/// The bytes of 64 hexadecimal digits.
pub(crate) fn from_hex(hex: &str) -> Result<[u8; 32], NoDigest> {
    if hex.len() != 64
        || !hex
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return Err(NoDigest);
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| NoDigest)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| NoDigest)?;
    }
    Ok(bytes)
}

impl Serialize for KeyedDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyedDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_hmac_of_rfc_4231() {
        // Its test case 1, whose key of 20 bytes is padded with zeros as HMAC does itself.
        let mut key = Zeroizing::new([0; 32]);
        key[..20].fill(0x0b);
        let digest = DigestKey::new(key).digest(b"Hi There");
        assert_eq!(
            digest.hex(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn a_digest_without_a_key_is_read_back_and_is_none_with_one() {
        let digest = crate::Digest::of(b"value");
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.parse::<KeyedDigest>(), Err(NoDigest));
        assert_eq!(text.to_uppercase().parse::<crate::Digest>(), Err(NoDigest));
        let keyed = DigestKey::new(Zeroizing::new([1; 32])).digest(b"value");
        assert_eq!(keyed.to_string().parse::<crate::Digest>(), Err(NoDigest));
    }

    #[test]
    fn a_digest_is_read_back_and_nothing_else_is() {
        let digest = DigestKey::new(Zeroizing::new([1; 32])).digest(b"value");
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<KeyedDigest>(&json).unwrap(), digest);
        for bad in [
            "",
            PREFIX,
            &digest.hex(),
            &text[..text.len() - 1],
            &format!("{text}0"),
            &text.to_uppercase(),
            &text.replace("hmac-", ""),
            &format!("{PREFIX}{}", "é".repeat(32)),
        ] {
            assert_eq!(bad.parse::<KeyedDigest>(), Err(NoDigest), "{bad}");
        }
    }

    #[test]
    fn another_key_gives_another_digest() {
        let of = |byte| DigestKey::new(Zeroizing::new([byte; 32])).digest(b"value");
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
    }
}
