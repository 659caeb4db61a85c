//! The node's boot clock: the time that passes whatever anybody sets the wall clock to, within one boot.

use std::{fs, sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A moment of one boot of the node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BootTime {
    /// Another one with each boot.
    pub(crate) boot_id: String,
    /// Suspended time included.
    pub(crate) since_boot: Duration,
}

impl BootTime {
    /// So much later in the same boot.
    pub(crate) fn after(&self, time: Duration) -> Self {
        Self {
            since_boot: self.since_boot.saturating_add(time),
            ..self.clone()
        }
    }

    /// How much time has passed since an earlier moment. `None` when that was in another boot: how long the node was
    /// off, nobody knows.
    pub(crate) fn since(&self, earlier: &Self) -> Option<Duration> {
        (self.boot_id == earlier.boot_id)
            .then(|| self.since_boot.checked_sub(earlier.since_boot))
            .flatten()
    }
}

/// Tells the time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct BootClock {
    boot_id: Arc<str>,
    #[cfg(test)]
    played: Option<Arc<std::sync::Mutex<BootTime>>>,
}

impl BootClock {
    /// The kernel's clock. Where the boot's id cannot be read, each start of the daemon counts as another boot.
    pub(crate) fn of_system() -> Self {
        let read = fs::read_to_string(BOOT_ID);
        let boot_id = read.unwrap_or_else(|error| {
            tracing::warn!(
                %error,
                "cannot read {BOOT_ID}: trials of revisions end when the daemon starts anew"
            );
            let now = clock_gettime(ClockId::Boottime);
            format!("unknown-{}.{}", now.tv_sec, now.tv_nsec)
        });
        Self {
            boot_id: boot_id.trim().into(),
            #[cfg(test)]
            played: None,
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> BootTime {
        #[cfg(test)]
        if let Some(played) = &self.played {
            return played.lock().expect("not poisoned").clone();
        }
        let now = clock_gettime(ClockId::Boottime);
        BootTime {
            boot_id: self.boot_id.to_string(),
            since_boot: Duration::new(
                u64::try_from(now.tv_sec).unwrap_or(0),
                u32::try_from(now.tv_nsec).unwrap_or(0),
            ),
        }
    }
}

#[cfg(test)]
impl BootClock {
    /// A clock that stands until it is told otherwise.
    pub(crate) fn played(boot_id: &str, since_boot: Duration) -> Self {
        let now = BootTime {
            boot_id: boot_id.to_owned(),
            since_boot,
        };
        Self {
            boot_id: boot_id.into(),
            played: Some(Arc::new(std::sync::Mutex::new(now))),
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        let played = self.played.as_ref().expect("a played clock");
        played.lock().expect("not poisoned").since_boot += time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_id: &str, seconds: u64) -> BootTime {
        BootTime {
            boot_id: boot_id.into(),
            since_boot: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn time_passes_within_a_boot_and_is_not_known_over_a_reboot() {
        assert_eq!(at("a", 7).since(&at("a", 5)), Some(Duration::from_secs(2)));
        assert_eq!(at("b", 7).since(&at("a", 5)), None);
        // Another boot that claims to be this one.
        assert_eq!(at("a", 3).since(&at("a", 5)), None);
    }

    #[test]
    fn the_systems_clock_goes_and_knows_its_boot() {
        let clock = BootClock::of_system();
        let first = clock.now();
        assert_eq!(first.boot_id.len(), 36);
        let passed = clock.now().since(&first);
        assert!(passed.is_some_and(|passed| passed < Duration::from_secs(60)));
        // Of the boot and not of the calendar: setting that changes nothing.
        let uptime = fs::read_to_string("/proc/uptime").expect("readable");
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((first.since_boot.as_secs_f64() - uptime).abs() < 5.0);
    }
}
