//! Nobody on the node but root gets to the files, whatever their own modes are.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::json;

use super::parts::{mounting, secret, uid};
use crate::pods::{self, STAY};
use crate::programs::{Ended, end};
use crate::rig::LIMIT;
use crate::scene::Scene;

/// Runs a program as an ordinary user.
fn as_nobody(args: &[&str]) -> Ended {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    end(Path::new("setpriv"), &[&user, args].concat(), "")
}

#[test]
fn an_ordinary_user_of_the_host_neither_reads_nor_lists_any_of_it() {
    // Open to all, so that what closes it is what Seedpod has made.
    let open = tempfile::Builder::new()
        .prefix("seedpod-open-")
        .tempdir()
        .unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let [state, volumes] = ["state", "volumes"].map(|name| open.path().join(name));
    let scene = Scene::configured(
        "private",
        json!({"stateDirectory": state, "volumesDirectory": volumes}),
    );
    // The pod's own user reads it, by its group or because everybody may.
    let script = format!("cat /s/value && echo && id -u; {STAY}");
    let reader = |name: &str, security| {
        let mut pod = mounting(pods::script(&scene.name(name), &script), "open");
        pod["spec"]["securityContext"] = security;
        pod
    };
    let mut by_group = reader("group", json!({"runAsUser": 1000, "fsGroup": 65534}));
    by_group["spec"]["volumes"][0]["secret"]["defaultMode"] = json!(0o400);
    let documents = [
        secret("open", &[("value", "for the pod")]),
        reader("all", json!({"runAsUser": 1000})),
        // Even the group of the user who tries to read.
        by_group,
    ];
    let (injected, _) = scene.inject_and_wait("bundle", &documents);
    for pod in ["all", "group"] {
        assert_eq!(scene.first_line(pod), "for the pod");
        let folder = volumes.join(uid(&scene, &injected.bundle, pod));
        let file = folder.join("s/value");
        let mode = if pod == "all" { 0o644 } else { 0o440 };
        let data = fs::metadata(&file).unwrap();
        assert_eq!(data.permissions().mode() & 0o7777, mode, "{pod}");
        assert_eq!(data.uid(), 0);
        for entry in [&file, &folder.join("s"), &folder, &volumes] {
            let entry = entry.to_str().unwrap();
            for args in [
                &["cat", entry][..],
                &["ls", entry],
                &["stat", entry],
                &["sh", "-c", "echo x >\"$0\"", entry],
                &["ln", entry, "/tmp/seedpod-hard-link"],
            ] {
                // Of the uppermost folder, its being there is no secret.
                if args[0] == "stat" && entry == volumes.to_str().unwrap() {
                    continue;
                }
                let ended = as_nobody(args);
                assert_ne!(ended.code, Some(0), "{args:?}: {ended:?}");
                assert_eq!(ended.stdout, "", "{args:?}");
            }
        }
    }
    // It is the modes that refuse, and not something else on the way.
    assert_eq!(
        as_nobody(&["ls", open.path().to_str().unwrap()]).code,
        Some(0)
    );
    let uids = injected.bundle.pods.iter().map(|it| volumes.join(&it.uid));
    for folder in uids.chain([volumes.clone(), state.clone(), state.join("objects")]) {
        let data = fs::metadata(&folder).unwrap();
        let found = (data.permissions().mode() & 0o7777, data.uid(), data.gid());
        assert_eq!(found, (0o700, 0, 0), "{}", folder.display());
    }
    let manifests = ["all", "group"].map(|pod| scene.file(pod));
    let objects = fs::read_dir(state.join("objects")).unwrap();
    for file in objects.map(|it| it.unwrap().path()).chain(manifests) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
    scene.remove_and_wait("bundle");
    seedpod_integration::wait_until(LIMIT, "the volumes are gone", || {
        super::parts::names(&volumes).is_empty()
    })
    .unwrap();
}
