//! The URLs of HTTP probes.

use http::Uri;
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::authority;
use crate::probe::spec::HttpAsk;

/// What may not stand in a query as it is.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What may not stand in a path that has no escapes of its own.
const PLAIN_PATH: &AsciiSet = &QUERY.add(b'%').add(b'?').add(b'#');

/// Where the probe goes first. `None` when the host is none.
pub(super) fn first(ask: &HttpAsk, host: &str) -> Option<Uri> {
    format!("{}{}", origin(ask, host), target(&ask.path))
        .parse()
        .ok()
}

/// The probe for people: "GET http://10.88.0.3:8080/healthz". Without the query, where there are tokens at times.
pub(super) fn shown(ask: &HttpAsk, host: &str) -> String {
    let target = target(&ask.path);
    let path = target.split('?').next().unwrap_or_default();
    format!("GET {}{path}", origin(ask, host))
}

/// Where a redirection leads. `None` when that cannot be read.
pub(super) fn follow(from: &Uri, location: &str) -> Option<Uri> {
    let location = utf8_percent_encode(location.trim(), LOCATION).to_string();
    let base = from.to_string();
    let base = UriAbsoluteStr::new(&base).ok()?;
    let reference = UriReferenceStr::new(&location).ok()?;
    reference.resolve_against(base).to_string().parse().ok()
}

/// As [`QUERY`], but with the brackets of IPv6 addresses.
const LOCATION: &AsciiSet = &QUERY.remove(b'[').remove(b']');

fn origin(ask: &HttpAsk, host: &str) -> String {
    let scheme = if ask.https { "https" } else { "http" };
    format!("{scheme}://{}", authority(host, ask.port))
}

/// The path and query of a request. As for the kubelet, what is no URL by its escapes is all path.
fn target(path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    if path.contains(|it: char| it.is_ascii_control()) || !has_good_escapes(path) {
        return format!("{slash}{}", utf8_percent_encode(path, PLAIN_PATH));
    }
    let whole = path.split('#').next().unwrap_or_default();
    let slash = if whole.starts_with('/') { "" } else { "/" };
    format!("{slash}{}", utf8_percent_encode(whole, QUERY))
}

/// Whether two hexadecimal digits follow each `%` in the path.
fn has_good_escapes(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.split('%').skip(1).all(|after| {
        let mut digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.by_ref().count() == 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str) -> HttpAsk {
        HttpAsk {
            https: false,
            host: None,
            port: 93,
            path: path.to_owned(),
            headers: Vec::new(),
        }
    }

    #[test]
    fn paths_become_urls_as_the_kubelet_makes_them() {
        for (path, expected) in [
            ("/", "http://h:93/"),
            ("/path", "http://h:93/path"),
            ("path", "http://h:93/path"),
            ("?foo", "http://h:93/?foo"),
            ("/path?bar=1&b=%20", "http://h:93/path?bar=1&b=%20"),
            ("/a b?c d", "http://h:93/a%20b?c%20d"),
            ("/a%20b", "http://h:93/a%20b"),
            ("/a#b", "http://h:93/a"),
            ("/100%", "http://h:93/100%25"),
            ("/%zz?a", "http://h:93/%25zz%3Fa"),
            ("/%2", "http://h:93/%252"),
            ("/ü", "http://h:93/%C3%BC"),
        ] {
            assert_eq!(first(&ask(path), "h").unwrap(), expected, "{path}");
        }
        let six = first(&ask("/"), "fd00::1").unwrap();
        assert_eq!(six, "http://[fd00::1]:93/");
        assert_eq!(first(&ask("/"), "no host"), None);
    }

    #[test]
    fn a_query_is_not_shown() {
        assert_eq!(
            shown(&ask("/healthz?token=secret"), "10.0.0.1"),
            "GET http://10.0.0.1:93/healthz"
        );
    }

    #[test]
    fn locations_are_resolved() {
        let from: Uri = "http://10.0.0.1:80/a/b?c".parse().unwrap();
        for (location, expected) in [
            ("/x", Some("http://10.0.0.1:80/x")),
            ("x?y=1", Some("http://10.0.0.1:80/a/x?y=1")),
            ("../x", Some("http://10.0.0.1:80/x")),
            ("?q", Some("http://10.0.0.1:80/a/b?q")),
            ("#f", Some("http://10.0.0.1:80/a/b?c")),
            ("//other/x", Some("http://other/x")),
            ("https://10.0.0.1:443/x", Some("https://10.0.0.1:443/x")),
            ("http://[fd00::1]:80/", Some("http://[fd00::1]:80/")),
            ("/a b", Some("http://10.0.0.1:80/a%20b")),
            ("http://[", None),
        ] {
            let followed = follow(&from, location).map(|uri| uri.to_string());
            assert_eq!(followed.as_deref(), expected, "{location}");
        }
    }
}
