//! A reboot that only the daemon sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Seedpodd;

impl Seedpodd<'_> {
    /// Lets the daemon see another boot from its next start on: a new boot id, and a boot clock that reads
    /// `uptime` now. The real one goes on for everybody else.
    ///
    /// # Errors
    /// Fails when a file can't be read or written.
    pub fn play_reboot(&self, uptime: Duration) -> Result<()> {
        let boot_id = read("/proc/sys/kernel/random/uuid".as_ref())?;
        fs::write(self.boot_id_file(), boot_id).context("write a boot id")?;
        let offset = i64::try_from(uptime.as_secs())? - real_uptime()?;
        fs::write(self.boot_offset_file(), offset.to_string()).context("write a boot clock")
    }

    /// Ends what [`Seedpodd::play_reboot`] began, from the daemon's next start on.
    ///
    /// # Errors
    /// Fails when a file can't be removed.
    pub fn play_no_reboot(&self) -> Result<()> {
        for file in [self.boot_id_file(), self.boot_offset_file()] {
            if file.exists() {
                fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// The boot id that the daemon sees from its next start on.
    ///
    /// # Errors
    /// Fails when it can't be read.
    pub fn boot_id(&self) -> Result<String> {
        let file = self.boot_id_file();
        let real = Path::new("/proc/sys/kernel/random/boot_id");
        Ok(read(if file.exists() { &file } else { real })?
            .trim()
            .to_owned())
    }

    /// Runs a program in a mount namespace with another boot id and a time namespace with another boot clock.
    /// Each step replaces the one before, so that the pid is the program's.
    pub(super) fn boot_arguments(&self) -> Result<Vec<String>> {
        let script = r#"mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@""#;
        let offset = read(&self.boot_offset_file())?;
        let arguments = [
            "--mount",
            "--propagation",
            "slave",
            "--time",
            "--boottime",
            offset.trim(),
            "--",
            "sh",
            "-c",
            script,
        ];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        arguments.push(self.boot_id_file().display().to_string());
        Ok(arguments)
    }

    pub(super) fn boot_id_file(&self) -> PathBuf {
        self.folder.join("played-boot-id")
    }

    fn boot_offset_file(&self) -> PathBuf {
        self.folder.join("played-boot-offset")
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

/// Whole seconds since the boot.
fn real_uptime() -> Result<i64> {
    let text = read("/proc/uptime".as_ref())?;
    let seconds = text.split('.').next().unwrap_or_default();
    seconds
        .parse()
        .with_context(|| format!("read the uptime {text:?}"))
}
