//! From an injection with Secrets to the files on the node, and their end.

use super::*;

/// A pod that sees the key `key` of the Secret `tls`.
fn pod_with_secret(content: &str) -> Vec<String> {
    vec![
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: tls}}\nstringData: {{key: {content}, other: unseen}}\n"
        ),
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  \
         volumes: [{name: tls, secret: {secretName: tls, defaultMode: 0400, items: [{key: key, path: a/key.pem}]}}]\n  \
         containers:\n  - name: main\n    image: rig.local/busybox:1\n    \
         volumeMounts: [{name: tls, mountPath: /tls}]\n"
            .to_owned(),
    ]
}

impl Harness {
    fn volumes(&self) -> PathBuf {
        self.folder.path().join("volumes")
    }

    fn key(&self, uid: &str) -> PathBuf {
        self.volumes().join(uid).join("tls/a/key.pem")
    }

    fn uids_on_disk(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.volumes()) else {
            return Vec::new();
        };
        let name = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.expect("entry").file_name();
            name.into_string().expect("text")
        };
        entries.map(name).collect()
    }
}

fn holds(path: &std::path::Path, content: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|found| found == content)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_becomes_files_before_the_pod_and_goes_when_the_pod_has_stopped() {
    let mut h = Harness::new();
    h.inject("web", &pod_with_secret("old"))
        .await
        .expect("inject");
    until("written", || h.file("web").exists()).await;
    let old = h.uid("web", "web");
    assert!(holds(&h.key(&old), "old"));
    let mode = fs::metadata(h.key(&old)).expect("metadata").mode();
    assert_eq!(mode & 0o7777, 0o400);
    let manifest = fs::read_to_string(h.file("web")).expect("read");
    assert!(manifest.contains(&format!("{old}/tls")), "{manifest}");
    h.runtime().runs(&[("web", &old)]);

    h.inject("web", &pod_with_secret("new"))
        .await
        .expect("inject");
    let new = h.uid("web", "web");
    assert_ne!(old, new, "what the pod sees has changed");
    let is_new = || fs::read_to_string(h.file("web")).is_ok_and(|text| text.contains(&new));
    until("replaced", is_new).await;
    assert!(holds(&h.key(&new), "new"));
    assert!(holds(&h.key(&old), "old"), "the old pod still runs");

    // A restart forgets what was removed: the runtime tells. And a reboot empties a tmpfs.
    h.stop().await;
    fs::remove_dir_all(h.volumes().join(&new)).expect("remove");
    h.start().expect("restart");
    until("made anew", || holds(&h.key(&new), "new")).await;
    assert!(holds(&h.key(&old), "old"));
    h.runtime().runs(&[("web", &new)]);
    until("collected", || h.uids_on_disk() == [new.clone()]).await;

    h.handle().remove("web".into()).await.expect("remove");
    until("the file is gone", || !h.file("web").exists()).await;
    assert!(holds(&h.key(&new), "new"), "it still runs");
    h.runtime().runs(&[]);
    until("collected", || h.uids_on_disk().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_runtime_volumes_stay_as_long_as_a_revision_with_them_is_kept() {
    let mut h = Harness::new();
    h.stop().await;
    h.runtime = None;
    h.start().expect("restart");
    h.inject("web", &pod_with_secret("content-0"))
        .await
        .expect("inject");
    let first = h.uid("web", "web");
    for n in 1..=Rules::default().history {
        until("written", || h.key(&h.uid("web", "web")).exists()).await;
        assert!(h.key(&first).exists(), "after {n} revisions");
        h.inject("web", &pod_with_secret(&format!("content-{n}")))
            .await
            .expect("inject");
    }
    // What is kept is looked at after a commit; that one may have been too early to see what it made superfluous.
    h.inject("another", &[pod("another", "1")])
        .await
        .expect("inject");
    until("collected", || !h.key(&first).exists()).await;
    assert!(h.key(&h.uid("web", "web")).exists());
    h.stop().await;
}
