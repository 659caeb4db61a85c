//! What is secret and has no certificate.

use rcgen::KeyPair as NewKey;
use zeroize::Zeroizing;

use crate::{
    certificates::{self, AuthorityError},
    cluster::{
        BootstrapToken, KeyPair,
        pki::{inspect, shelf::Shelf},
        render::{RenderError, Written},
    },
};

/// `None` when it does not fit, which is noted.
pub(super) fn service_account(shelf: &mut Shelf) -> Result<Option<KeyPair>, RenderError> {
    let private = shelf.read("sa.key")?;
    let public = shelf.read("sa.pub")?;
    let private = match private {
        Some(private) => private,
        None if public.is_some() => {
            shelf.unfit(
                "sa.key",
                "it is missing, and service account tokens are signed with it; bring it back, or remove sa.pub to have both \
                 made anew",
            );
            return Ok(None);
        }
        None => {
            let key = NewKey::generate().map_err(|error| RenderError::Issue {
                name: "sa.key".to_owned(),
                source: AuthorityError::Failed(error.to_string()),
            })?;
            let private = Zeroizing::new(key.serialize_pem());
            shelf.put("sa.key", private.clone(), Written::Made);
            private
        }
    };
    let Ok(key) = certificates::read_key(&private) else {
        shelf.unfit(
            "sa.key",
            "it holds no private key in PEM form; bring it back, or remove it and sa.pub to have both made anew",
        );
        return Ok(None);
    };
    let public = match public {
        None => {
            let public = Zeroizing::new(key.public_key_pem());
            shelf.put("sa.pub", public.clone(), Written::Made);
            public
        }
        Some(public) => {
            if let Err(message) = inspect::key_pair(&private, &public) {
                shelf.unfit(
                    "sa.pub",
                    format!("{message}; remove it to have it made from sa.key"),
                );
                return Ok(None);
            }
            public
        }
    };
    Ok(Some(KeyPair {
        public: public.to_string(),
        private,
    }))
}

/// `None` when it does not fit, which is noted.
pub(super) fn bootstrap_token(shelf: &mut Shelf) -> Result<Option<BootstrapToken>, RenderError> {
    const FILE: &str = "bootstrap-token";
    let text = match shelf.read(FILE)? {
        Some(text) => text,
        None if shelf.is_unfit(FILE) => return Ok(None),
        None => {
            let text = Zeroizing::new(format!("{}.{}\n", &*random(6)?, &*random(16)?));
            shelf.put(FILE, text.clone(), Written::Made);
            text
        }
    };
    let is_part = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    match text.trim_end().split_once('.') {
        Some((id, secret)) if is_part(id, 6) && is_part(secret, 16) => Ok(Some(BootstrapToken {
            id: id.to_owned(),
            secret: Zeroizing::new(secret.to_owned()),
        })),
        _ => {
            shelf.unfit(
                FILE,
                "it is no token, 6 and 16 lower-case letters and digits with a \".\" between them; remove it to have one made",
            );
            Ok(None)
        }
    }
}

/// So many lower-case letters and digits.
fn random(length: usize) -> Result<Zeroizing<String>, RenderError> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut bytes = Zeroizing::new([0_u8; 64]);
    while text.len() < length {
        provider
            .secure_random
            .fill(&mut *bytes)
            .map_err(|_| RenderError::Issue {
                name: "a bootstrap token".to_owned(),
                source: AuthorityError::Failed("the system gives no random numbers".to_owned()),
            })?;
        // What is left out makes all letters equally likely: 252 is 7 times 36.
        let fair = bytes.iter().filter(|byte| **byte < 252);
        for byte in fair.take(length - text.len()) {
            text.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        }
    }
    Ok(text)
}
