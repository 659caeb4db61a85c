//! Pages of a list, by opaque tokens that say after which item the next page begins.
//!
//! A token holds the last item's key and not a number, so that nothing is listed twice or left out when others come
//! and go between two pages.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use seedpod_manifest::Digest;
use serde::{Deserialize, Serialize};

use super::{reason::Reason, status::Fault};

/// No page has more, whatever is asked for.
const MAX_SIZE: usize = 1000;

/// How much of the digest stands before a token. It finds tokens that were cut or made up; it keeps no secret.
const CHECK: usize = 8;

/// What a page is of: a token of one list is none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum List<'a> {
    Bundles,
    /// Of this bundle; of all when it is empty.
    Pods(&'a str),
    /// The same of objects, and of this kind of the API; of all kinds when it is 0.
    Objects(&'a str, i32),
}

/// Which page is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<K> {
    size: usize,
    after: Option<K>,
}

#[derive(Serialize, Deserialize)]
struct Token<'a, K> {
    #[serde(borrow)]
    list: List<'a>,
    after: K,
}

impl<K: Ord + Serialize + for<'de> Deserialize<'de>> Page<K> {
    /// Checks `page_size` and `page_token` of a request.
    pub(super) fn parse(
        list: List<'_>,
        size: i32,
        default_size: usize,
        token: &str,
    ) -> Result<Self, Fault> {
        let Ok(size) = usize::try_from(size) else {
            let description =
                format!("{size} is negative; use 0 for the default of {default_size}");
            return Err(Fault::field(
                Reason::InvalidPageSize,
                "page_size",
                description,
            ));
        };
        let size = if size == 0 {
            default_size
        } else {
            size.min(MAX_SIZE)
        };
        if token.is_empty() {
            return Ok(Self { size, after: None });
        }
        match read(list, token) {
            Some(after) => Ok(Self {
                size,
                after: Some(after),
            }),
            None => Err(Fault::field(
                Reason::InvalidPageToken,
                "page_token",
                "this is not a next_page_token of the same list with the same filter; leave it \
                 empty to begin anew",
            )),
        }
    }

    /// Takes the page out of all items, which are ordered by their key, and gives the token of the next one; that is
    /// empty on the last page.
    pub(super) fn take<T>(
        &self,
        list: List<'_>,
        items: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> (Vec<T>, String) {
        let mut rest = items
            .into_iter()
            .skip_while(|item| self.after.as_ref().is_some_and(|after| key(item) <= *after));
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let token = match (page.last(), rest.next()) {
            (Some(last), Some(_)) => write(list, key(last)),
            _ => String::new(),
        };
        (page, token)
    }
}

fn write<K: Serialize>(list: List<'_>, after: K) -> String {
    // Strings and a unit: nothing that JSON could not hold.
    let content = serde_json::to_vec(&Token { list, after }).unwrap_or_default();
    let digest = Digest::of(&content);
    URL_SAFE_NO_PAD.encode([&digest.as_bytes()[..CHECK], &content].concat())
}

fn read<K: for<'de> Deserialize<'de>>(list: List<'_>, token: &str) -> Option<K> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (check, content) = bytes.split_at_checked(CHECK)?;
    if Digest::of(content).as_bytes()[..CHECK] != *check {
        return None;
    }
    let token: Token<'_, K> = serde_json::from_slice(content).ok()?;
    (token.list == list).then_some(token.after)
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::StatusExt;

    use super::*;

    fn page(size: i32, token: &str) -> Page<String> {
        Page::parse(List::Bundles, size, 100, token).expect("a good page")
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_pages_together_are_the_list() {
        let all: Vec<String> = (10..35).map(|n| n.to_string()).collect();
        let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (items, next) = page(10, &token).take(List::Bundles, all.clone(), String::clone);
            seen.extend(items);
            pages += 1;
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((seen, pages), (all, 3));
    }

    #[test]
    fn a_full_last_page_has_no_token() {
        let (items, next) = page(2, "").take(List::Bundles, names(&["a", "b"]), String::clone);
        assert_eq!((items, next.as_str()), (names(&["a", "b"]), ""));
    }

    #[test]
    fn what_goes_and_comes_between_pages_moves_nothing() {
        let (_, token) =
            page(2, "").take(List::Bundles, names(&["a", "c", "e", "g"]), String::clone);
        let (items, _) =
            page(9, &token).take(List::Bundles, names(&["b", "e", "f", "g"]), String::clone);
        assert_eq!(items, names(&["e", "f", "g"]));
    }

    #[test]
    fn the_size_has_a_default_and_a_most() {
        assert_eq!(page(0, "").size, 100);
        assert_eq!(page(7, "").size, 7);
        assert_eq!(page(i32::MAX, "").size, 1000);
    }

    #[test]
    fn bad_pages_are_refused_with_their_field() {
        let (_, good) = page(1, "").take(List::Bundles, names(&["a", "b"]), String::clone);
        let (_, of_pods) = page(1, "").take(List::Pods("web"), names(&["a", "b"]), String::clone);
        let mut cut = good.clone();
        cut.pop();
        let made_up = URL_SAFE_NO_PAD.encode(r#"        {"list":"Bundles","after":"a"}"#);
        for token in ["x", "%%%", "AAAAAAAAAAAAAA", &cut, &made_up, &of_pods] {
            let fault = Page::<String>::parse(List::Bundles, 1, 100, token).unwrap_err();
            let status = Status::from(fault);
            let info = status.get_details_error_info().unwrap();
            assert_eq!(info.reason, "INVALID_PAGE_TOKEN", "{token}");
            let field = &status.get_details_bad_request().unwrap().field_violations[0].field;
            assert_eq!(field, "page_token");
        }
        let other = Page::<String>::parse(List::Pods("db"), 1, 100, &of_pods);
        assert!(other.is_err());
        let negative = Page::<String>::parse(List::Bundles, -1, 100, &good).unwrap_err();
        let reason = Status::from(negative)
            .get_details_error_info()
            .unwrap()
            .reason;
        assert_eq!(reason, "INVALID_PAGE_SIZE");
    }
}
