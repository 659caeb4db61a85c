//! The workspace's own programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::command_line;

/// The path of a program of this workspace, built by cargo when it is missing or older than its source.
///
/// `SEEDPOD_RIG_<NAME>` (for `seedpodd`: `SEEDPOD_RIG_SEEDPODD`) names another one to use, and spares
/// the call of cargo. The program is built with the profile of the running one.
///
/// # Errors
/// Fails when the variable names no file, or when cargo fails.
pub fn workspace_binary(package: &str, name: &str) -> Result<PathBuf> {
    let variable = format!("SEEDPOD_RIG_{}", name.to_uppercase().replace('-', "_"));
    if let Some(path) = std::env::var_os(&variable) {
        let path = PathBuf::from(path);
        return path
            .canonicalize()
            .with_context(|| format!("{variable}={}", path.display()));
    }
    let current = std::env::current_exe().context("find the running program")?;
    if current.file_name().is_some_and(|file| file == name) {
        return Ok(current);
    }
    let folder = profile_folder(&current)?;
    let program = folder.join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    if !source.is_file() {
        // Installed apart from its source: then its neighbours are what there is.
        if program.is_file() {
            return Ok(program);
        }
        bail!("{} is not there; set {variable}", program.display());
    }
    if package == env!("CARGO_PKG_NAME") && program.is_file() && current.parent() != Some(&folder) {
        // This is a test of this package, for which cargo has just built the package's programs.
        return Ok(program);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--locked",
        "--package",
        package,
        "--bin",
        name,
    ]);
    command.arg("--manifest-path").arg(&source);
    command.args(["--profile", profile(&folder)]);
    command
        .env("CARGO_TARGET_DIR", folder.parent().unwrap_or(&folder))
        .stdin(Stdio::null());
    let line = command_line(&command);
    let output = command.output().with_context(|| format!("run {line}"))?;
    if !output.status.success() || !program.is_file() {
        bail!(
            "{line}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(program)
}

/// The folder of cargo's profile that a program is in: `target/debug` for `target/debug/deps/x`.
fn profile_folder(program: &Path) -> Result<PathBuf> {
    let parent = program
        .parent()
        .context("the running program is in no folder")?;
    let inner = ["deps", "examples"]
        .iter()
        .any(|name| parent.ends_with(name));
    Ok(if inner {
        parent.parent().unwrap_or(parent)
    } else {
        parent
    }
    .to_path_buf())
}

fn profile(folder: &Path) -> &'static str {
    if folder.ends_with("release") {
        "release"
    } else {
        "dev"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_programs_share_the_profile_folder() {
        let folder = Path::new("/t/debug");
        assert_eq!(
            profile_folder(Path::new("/t/debug/deps/node-123")).unwrap(),
            folder
        );
        assert_eq!(
            profile_folder(Path::new("/t/debug/seedpod-rig")).unwrap(),
            folder
        );
        assert_eq!(profile(folder), "dev");
    }
}
