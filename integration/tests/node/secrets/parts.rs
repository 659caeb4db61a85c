//! Small Secrets, and pods that mount one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seedpod_client::{Bundle, InjectPods};
use serde_json::{Value, json};

use crate::pods;
use crate::programs::grpcurl;
use crate::scene::Scene;

/// A Secret of these keys and values.
pub(super) fn secret(name: &str, data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(STANDARD.encode(value))))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    })
}

/// Lets the first container of a pod have a Secret's files in `/s`.
pub(super) fn mounting(mut pod: Value, secret: &str) -> Value {
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "s", "mountPath": "/s"}]);
    pod["spec"]["volumes"] = json!([{"name": "s", "secret": {"secretName": secret}}]);
    pod
}

/// A pod of the scene that prints `/s/value` of a Secret, and stays.
pub(super) fn printing(scene: &Scene<'_>, pod: &str, secret: &str) -> Value {
    let script = format!("cat /s/value; echo; {}", pods::STAY);
    mounting(pods::script(&scene.name(pod), &script), secret)
}

pub(super) fn request(scene: &Scene<'_>, documents: &[Value]) -> InjectPods {
    scene.request("bundle", documents)
}

/// The uid that a bundle has for a pod of the scene.
pub(super) fn uid(scene: &Scene<'_>, bundle: &Bundle, pod: &str) -> String {
    let name = scene.name(pod);
    let found = bundle.pods.iter().find(|it| it.name == name);
    found.expect("the pod is in the bundle").uid.clone()
}

/// The folder on the node of a pod's volumes.
pub(super) fn folder(scene: &Scene<'_>, bundle: &Bundle, pod: &str) -> PathBuf {
    scene
        .daemon
        .volumes_directory()
        .join(uid(scene, bundle, pod))
}

/// The names in the directory of volumes.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|it| it.file_name());
    let mut names: Vec<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every entry below a folder, itself included: its path, type, mode, owner and content, or a link's target.
pub(super) fn tree(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(path) = rest.pop() {
        let data = fs::symlink_metadata(&path).expect("look at an entry");
        let content = if data.is_symlink() {
            format!("{:?}", fs::read_link(&path).expect("read a link"))
        } else if data.is_file() {
            format!(
                "{:?}",
                String::from_utf8_lossy(&fs::read(&path).expect("read a file"))
            )
        } else {
            for entry in fs::read_dir(&path).expect("list a folder") {
                rest.push(entry.expect("list a folder").path());
            }
            String::new()
        };
        let mode = data.permissions().mode();
        lines.push(format!(
            "{} {mode:o} {}:{} {} {}.{} {content}",
            path.display(),
            data.uid(),
            data.gid(),
            data.ino(),
            data.mtime(),
            data.mtime_nsec(),
        ));
    }
    lines.sort();
    lines
}

/// Asks the daemon with grpcurl, and returns the answer or the error as it is printed.
pub(super) fn ask(scene: &Scene<'_>, method: &str, request: &Value) -> String {
    let socket = scene.daemon.socket().display().to_string();
    let method = format!("seedpod.v1.{method}");
    let args = ["-plaintext", "-unix", "-d", "@", &socket, &method];
    let ended = grpcurl(&args, &request.to_string());
    format!("{}{}", ended.stdout, ended.stderr)
}

/// Whether this holds all the time.
pub(super) fn holds_for(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if !holds() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
