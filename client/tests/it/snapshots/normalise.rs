//! Instead of keys and certificates, what they are for.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use seedpod_client::cluster::Pki;
use x509_parser::prelude::*;

pub(super) struct Normaliser {
    token: Option<(String, String)>,
}

impl Normaliser {
    pub(super) fn new(pki: &Pki) -> Self {
        let token = pki.bootstrap_token.as_ref();
        Self {
            token: token.map(|token| (token.id.clone(), token.secret.to_string())),
        }
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if let Some((id, secret)) = &self.token {
            text = text
                .replace(secret, "0123456789abcdef")
                .replace(id, "abcdef");
        }
        let lines: Vec<String> = describe_pem(&text)
            .lines()
            .map(|line| self.line(line))
            .collect();
        lines.join("\n") + "\n"
    }

    /// A line with the base64 of a text gets that text, on as many lines as it has.
    fn line(&self, line: &str) -> String {
        let Some((key, value)) = line.split_once(": ") else {
            return line.to_owned();
        };
        if key == "seedpodVersion" {
            return format!("{key}: <this one>");
        }
        if key.trim_start() == "seedpod.dev/secret-digest" {
            assert!(value.len() == "sha256:".len() + 64, "{value}");
            return format!("{key}: <digest>");
        }
        let value = value.trim_matches('"');
        let decoded = BASE64_STANDARD.decode(value).ok();
        let Some(decoded) = decoded
            .filter(|_| value.len() >= 8)
            .and_then(|it| String::from_utf8(it).ok())
        else {
            return line.to_owned();
        };
        let indent = " ".repeat(line.len() - line.trim_start().len() + 2);
        let decoded: String = self
            .text(&decoded)
            .lines()
            .map(|line| format!("\n{indent}{line}"))
            .collect();
        format!("{key}: <base64>{decoded}")
    }
}

/// Replaces each block of PEM by a line.
fn describe_pem(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let label_end = rest[BEGIN.len()..].find("-----").unwrap() + BEGIN.len();
        let end = format!("-----END {}-----\n", &rest[BEGIN.len()..label_end]);
        let length = rest.find(&end).unwrap() + end.len();
        let (block, after) = rest.split_at(length);
        let (_, pem) = parse_x509_pem(block.as_bytes()).unwrap();
        out.push_str(&describe(&pem));
        out.push('\n');
        rest = after;
    }
    out.push_str(rest);
    out
}

fn describe(pem: &Pem) -> String {
    if pem.label != "CERTIFICATE" {
        return format!("<{}>", pem.label.to_lowercase());
    }
    let certificate = pem.parse_x509().unwrap();
    let validity = certificate.validity();
    let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
    let mut parts = vec![
        certificate.subject().to_string(),
        format!("by {}", certificate.issuer()),
        format!("{days} days"),
    ];
    if certificate.is_ca() {
        parts.push("authority".to_owned());
    }
    if let Ok(Some(usage)) = certificate.extended_key_usage() {
        let usage = usage.value;
        for (has, name) in [(usage.server_auth, "server"), (usage.client_auth, "client")] {
            if has {
                parts.push(name.to_owned());
            }
        }
    }
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        let names: Vec<String> = names.value.general_names.iter().map(name).collect();
        parts.push(format!("for {}", names.join(" ")));
    }
    format!("<certificate: {}>", parts.join(", "))
}

fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).unwrap()).to_string(),
            _ => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).unwrap()).to_string(),
        },
        other => other.to_string(),
    }
}
