//! Trials and kept revisions of bundles with Secrets, on a real folder.

use seedpod_manifest::ObjectSummary;

use super::*;
use crate::node::{Confirmation, Terms};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A pod that takes the Secret `tls`, and that.
fn with_secret(value: &str) -> Vec<String> {
    let pod = format!(
        "{}  volumes:\n  - {{name: tls, secret: {{secretName: tls}}}}\n",
        pod("a", "1")
    );
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: tls}}\nstringData: {{key: {value}}}\n"
    );
    vec![pod, secret]
}

fn on_trial(manifests: &[String]) -> Inject {
    Inject {
        trial: Some(Terms {
            timeout: TIMEOUT,
            confirmation: Confirmation::Explicit,
        }),
        ..injection("web", manifests)
    }
}

impl Harness {
    fn web(&self) -> Arc<crate::node::Bundle> {
        let state = self.handle().state();
        Arc::clone(&state.bundles[&"web".parse().expect("a valid name")])
    }
}

fn summary(bundle: &crate::node::Bundle) -> &ObjectSummary {
    &bundle.objects[0].summary
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_trial_goes_back_to_the_secrets_that_were_there_without_reading_them() {
    let h = Harness::new();
    h.inject("web", &with_secret("one")).await.expect("inject");
    let first = h.web();
    let tried = h.handle().inject(on_trial(&with_secret("two"))).await;
    let tried = tried.expect("inject").bundle;
    assert_eq!(tried.objects[0].revision, 2);
    assert_ne!(summary(&tried), summary(&first));

    // Neither the contents nor the revision can be read.
    let revision = "state/bundles/web/00000000000000000001.json";
    fs::remove_file(h.folder.path().join(revision)).expect("it is there");
    for object in fs::read_dir(h.folder.path().join("state/objects")).expect("a folder") {
        fs::write(object.expect("readable").path(), "damaged").expect("write");
    }
    h.clock.pass(TIMEOUT);
    until("the node goes back", || h.web().revision == 3).await;
    let back = h.web();
    assert_eq!(summary(&back), summary(&first));
    assert_eq!((back.objects[0].revision, back.pods[0].revision), (3, 3));
    assert_eq!(back.digest, first.digest);
    assert_ne!(back.pods[0].uid, first.pods[0].uid);
    let folder = h.folder.path().join("volumes").join(&back.pods[0].uid);
    assert_eq!(back.pods[0].volumes.as_deref(), Some(folder.as_path()));
    assert!(
        back.pods[0]
            .rendered
            .contains(&folder.join("tls").display().to_string())
    );
    let pods = [&first, &back].map(|bundle| bundle.pods[0].pod().expect("whole"));
    assert_eq!(pods[0].digest(), pods[1].digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trial_did_not_change_stays_when_it_fails() {
    let h = Harness::new();
    let first = [with_secret("one"), vec![pod("b", "1")]].concat();
    h.inject("web", &first).await.expect("inject");
    let before = h.web();
    let second = [with_secret("one"), vec![pod("b", "2")]].concat();
    h.handle().inject(on_trial(&second)).await.expect("inject");
    h.clock.pass(TIMEOUT);
    until("the node goes back", || h.web().revision == 3).await;
    let back = h.web();
    assert_eq!(
        (&back.objects, &back.pods[0]),
        (&before.objects, &before.pods[0])
    );
    assert_eq!(back.pods[1].revision, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_the_bundle_with_its_objects_as_it_was() {
    let mut h = Harness::new();
    h.inject("web", &with_secret("one")).await.expect("inject");
    let before = h.web();
    h.stop().await;
    h.start().expect("restart");
    assert_eq!(h.web(), before);
    let again = h.inject("web", &with_secret("one")).await.expect("inject");
    assert_eq!(again.bundle, before, "nothing has changed");
    let users = before.users();
    assert_eq!(users[&summary(&before).key][0].name, "a");
}
