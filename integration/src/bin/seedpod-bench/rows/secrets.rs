//! A durable injection of a control plane with its certificates and keys, against the bare system calls.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seedpod_client::{ChangeType, InjectPods};
use serde_json::{Map, json};

use crate::bench::Bench;
use crate::daemon::Daemon;
use crate::pods::{Kind, control_plane};
use crate::report::{Goal, Row, Unit};
use crate::stats::Samples;

const BUNDLE: &str = "control-plane";
/// As many revisions as the daemon keeps: folders of the same size.
const KEPT: usize = 10;
const SECRETS: usize = 4;
const KEYS: usize = 5;
/// A PEM certificate with a 2048-bit RSA key and some names has 1.2 to 1.5 kB.
const SIZE: usize = 1400;

/// What one injection made durable: one file per Secret, and the revision's.
type Written = Vec<Vec<u8>>;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let folder = bench.folder("secrets")?;
    let keys = folder.join("keys.yaml");
    write_key_file(&keys)?;
    let changes = json!({"secretEncryption": {"keyFile": keys}});
    let mut daemon = Daemon::without_node_but(&bench.program, &folder, &changes)?;
    daemon.start()?;

    let floors = ["files", "one"].map(|name| bench.folder(&format!("secrets/floor-{name}")));
    let [files, one] = floors;
    let (files, one) = (files?, one?);
    let (mut ours, mut of_files, mut of_one) = Default::default();
    // The first ones make folders and warm caches on all sides; nobody counts them.
    let warm_up = 5;
    let mut written = inject(&daemon, 0)?.1;
    for round in 1..=bench.repetitions(300, 60) + warm_up {
        let mut took = [Duration::ZERO; 3];
        // Turn about, so that none always meets the disk that another has just left.
        for turn in 0..3 {
            let side = (turn + round) % 3;
            took[side] = match side {
                0 => {
                    let (took, now) = inject(&daemon, round)?;
                    written = now;
                    took
                }
                1 => write_bare(&files, round, &written)?,
                _ => write_bare(&one, round, &[written.concat()])?,
            };
        }
        if round > warm_up {
            let sides: [&mut Samples; 3] = [&mut ours, &mut of_files, &mut of_one];
            for (samples, took) in sides.into_iter().zip(took) {
                samples.push_ms(took);
            }
        }
    }
    daemon.stop()?;
    let how = format!(
        "as the row before, with {SECRETS} Secrets of {KEYS} keys of {SIZE} bytes, encrypted, of which each call changes \
         all, so that each of the 7 pods, which mount one of them each, is replaced: {} files of {} kB in all become \
         durable",
        written.len(),
        written.iter().map(Vec::len).sum::<usize>() / 1000,
    );
    let row = |alternative_name, alternative, goal, against: &str| Row {
        name: "durable `InjectPods` of 7 pods with 20 Secret files",
        alternative_name,
        unit: Unit::Milliseconds,
        ours: ours.clone(),
        alternative,
        goal,
        how: format!("{how}; against {against}."),
    };
    Ok(vec![
        row(
            "bare write+fsync+rename of the same files, fsync(dir)",
            of_files,
            Goal::Times(1.5),
            "writing the same files: those of the Secrets, their directory, the revision's, its directory",
        ),
        row(
            "bare write+fsync+rename+fsync(dir) of the same bytes",
            of_one,
            Goal::Times(4.0),
            "the same bytes in one file, which nobody could share between revisions",
        ),
    ])
}

/// Injects with a change in each Secret, and returns the time and what was made durable for it.
fn inject(daemon: &Daemon<'_>, generation: usize) -> Result<(Duration, Written)> {
    let before = names(&daemon.objects())?;
    let request = InjectPods::new(BUNDLE).manifests(manifests(generation));
    let injection = daemon.inject(&request)?;
    let injected = &injection.injected;
    let untouched = |kind| kind == ChangeType::Unchanged || kind == ChangeType::Removed;
    if injected.changes.len() != 7 || injected.changes.iter().any(|it| untouched(it.r#type)) {
        bail!("not all pods were changed: {:?}", injected.changes);
    }
    daemon.wait_projected(&injected.bundle)?;
    let after = names(&daemon.objects())?;
    let mut files: Vec<PathBuf> = after.difference(&before).cloned().collect();
    if files.len() != SECRETS && generation > 0 {
        bail!("{} and not {SECRETS} contents are new", files.len());
    }
    files.push(daemon.revision_file(&injected.bundle));
    let read = |file: &PathBuf| fs::read(file).with_context(|| format!("read {}", file.display()));
    let written = files.iter().map(read).collect::<Result<_>>()?;
    Ok((injection.took, written))
}

fn names(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let list = || fs::read_dir(folder)?.map(|it| Ok(it?.path())).collect();
    match list() {
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        list => list.with_context(|| format!("list {}", folder.display())),
    }
}

/// The pods, each with a Secret, and the Secrets, of which no two generations have a value in common.
fn manifests(generation: usize) -> Vec<String> {
    let pods = control_plane(Kind::Sent, 0, 0).into_iter().enumerate();
    let mut manifests: Vec<String> = pods
        .map(|(index, pod)| {
            let mount = "    volumeMounts:\n    - name: pki\n      mountPath: /etc/pki\n";
            let pod = pod.replacen("    volumeMounts:\n", mount, 1);
            let secret = index % SECRETS;
            format!("{pod}  - name: pki\n    secret:\n      secretName: pki-{secret}\n      defaultMode: 0400\n")
        })
        .collect();
    for secret in 0..SECRETS {
        let data: Map<_, _> = (0..KEYS)
            .map(|key| {
                (
                    format!("key-{key}.pem"),
                    json!(value(generation, secret, key)),
                )
            })
            .collect();
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": format!("pki-{secret}"), "namespace": "kube-system"},
            "data": data,
        });
        manifests.push(secret.to_string());
    }
    manifests
}

/// As long as a certificate, in base64.
fn value(generation: usize, secret: usize, key: usize) -> String {
    let line = format!("{generation:08} {secret} {key} ");
    STANDARD.encode(&line.repeat(SIZE.div_ceil(line.len()))[..SIZE])
}

fn write_key_file(file: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let text = format!(
        "apiVersion: seedpod.dev/v1alpha1\nkind: EncryptionKeys\nkeys:\n- name: bench\n  secret: {}\n",
        STANDARD.encode([7; 32])
    );
    let mut options = File::options();
    options.create(true).write(true).truncate(true).mode(0o600);
    options
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", file.display()))
}

/// The least that makes new files durable and whole under their names: all but the last, their directory, and then the
/// last one and its directory, since it refers to them.
fn write_bare(folder: &Path, number: usize, files: &[Vec<u8>]) -> Result<Duration> {
    let name = |number: usize, index: usize| folder.join(format!("{number:020}-{index}"));
    let put = |target: &Path, bytes: &[u8]| -> io::Result<()> {
        let staged = folder.join(".staged");
        let mut file = File::create(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&staged, target)
    };
    let write = || -> io::Result<Duration> {
        let start = Instant::now();
        for (index, bytes) in files.iter().enumerate() {
            if index > 0 && index + 1 == files.len() {
                File::open(folder)?.sync_all()?;
            }
            put(&name(number, index), bytes)?;
        }
        File::open(folder)?.sync_all()?;
        let took = start.elapsed();
        for index in 0..files.len() {
            let old = number.checked_sub(KEPT).map(|number| name(number, index));
            if let Some(old) = old.filter(|old| old.exists()) {
                fs::remove_file(old)?;
            }
        }
        Ok(took)
    };
    write().with_context(|| format!("write into {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_has_a_secret_and_each_generation_has_other_values() {
        let (first, second) = (manifests(1), manifests(2));
        assert_eq!(first.len(), 7 + SECRETS);
        assert_eq!(first[..7], second[..7]);
        assert!(
            first[..7].iter().all(
                |pod| pod.contains("mountPath: /etc/pki\n") && pod.contains("secretName: pki-")
            )
        );
        assert!(
            first[7..]
                .iter()
                .zip(&second[7..])
                .all(|(one, other)| one != other)
        );
        let decoded = STANDARD.decode(value(1, 2, 3)).unwrap();
        assert_eq!(decoded.len(), SIZE);
    }
}
