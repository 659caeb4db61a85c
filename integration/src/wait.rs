//! Bounded waits for a condition.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds, looking every few milliseconds.
///
/// # Errors
/// Names `what` and the limit when the condition does not hold in time.
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    wait_for(limit, what, || condition().then_some(()))
}

/// Waits until `probe` gives a value, looking every few milliseconds, and returns it.
///
/// # Errors
/// Names `what` and the limit when there is no value in time.
pub fn wait_for<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not so within {} s", limit.as_secs_f32());
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_comes_later_is_returned() {
        let mut tries = 0;
        let value = wait_for(Duration::from_secs(5), "third try", || {
            tries += 1;
            (tries == 3).then_some(tries)
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn a_condition_that_never_holds_is_named() {
        let error = wait_until(Duration::from_millis(1), "pigs fly", || false).unwrap_err();
        assert!(error.to_string().starts_with("pigs fly: "), "{error}");
    }
}
