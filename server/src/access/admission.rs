//! How many connections or requests there may be, in all and of one client.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts connections or requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Admissions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_client: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: HashMap<String, usize>,
}

/// One that was admitted; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    inner: Arc<Inner>,
    client: String,
}

/// Why one was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// There are as many as there may be.
    #[error("there are too many")]
    Total,
    /// This client has as many as one may have.
    #[error("the client has too many")]
    Client,
}

impl Admissions {
    pub(crate) fn new(max: usize, max_per_client: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                max,
                max_per_client,
                open: Mutex::default(),
            }),
        }
    }

    /// Counts one more of `client`, if there may be one.
    pub(crate) fn admit(&self, client: &str) -> Result<Admission, Full> {
        let mut open = self.inner.open();
        if open.total >= self.inner.max {
            return Err(Full::Total);
        }
        let of_client = open.by_client.get(client).copied().unwrap_or(0);
        if of_client >= self.inner.max_per_client {
            return Err(Full::Client);
        }
        open.total += 1;
        open.by_client.insert(client.to_owned(), of_client + 1);
        Ok(Admission {
            inner: Arc::clone(&self.inner),
            client: client.to_owned(),
        })
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.inner.open().total
    }
}

impl Inner {
    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        // Every change below is complete before anything could panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.inner.open();
        open.total -= 1;
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_cannot_take_the_places_of_all() {
        let admissions = Admissions::new(3, 2);
        let greedy = [
            admissions.admit("greedy").unwrap(),
            admissions.admit("greedy").unwrap(),
        ];
        assert_eq!(admissions.admit("greedy").unwrap_err(), Full::Client);

        let _other = admissions.admit("other").unwrap();
        assert_eq!(admissions.admit("third").unwrap_err(), Full::Total);

        drop(greedy);
        assert_eq!(admissions.open(), 1);
        admissions.admit("greedy").unwrap();
        assert_eq!(
            admissions.inner.open().by_client.len(),
            1,
            "closed connections leave no trace"
        );
    }
}
