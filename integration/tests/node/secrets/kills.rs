//! Kills at random instants: what is under a pod's uid is whole, and nothing is left over.
//!
//! `SEEDPOD_TORTURE_SECRET_KILLS` says in how many injections (10), `SEEDPOD_TORTURE_KILL_SEED` from which seed. One in
//! four is a power cut, which also empties the directory of volumes, as a reboot does that is on a tmpfs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use seedpod_client::{Bundle, Code, RetryPolicy, Wait};
use seedpod_integration::{Node, NodeOptions, wait_until};
use serde_json::{Value, json};

use super::parts::{mounting, names, secret};
use crate::kills::{Random, fresh_seed, number};
use crate::pods;
use crate::scene::{Scene, committed, connect_lazy, run, socket_options, spawn};

/// The kubelet tries a volume that was not there again after up to two minutes.
const PATIENCE: Duration = Duration::from_secs(240);
/// Files of a volume: several, and of several pages.
const FILES: [&str; 4] = ["a", "b", "c/d", "c/e"];
const PADDING: usize = 20_000;

/// The Secret's content in a round, the same in each file.
fn content(round: u64) -> String {
    format!("{round:08}\n{}", "x".repeat(PADDING))
}

fn documents(scene: &Scene<'_>, rounds: [u64; 2]) -> Vec<Value> {
    let mut documents = Vec::new();
    for (index, round) in rounds.into_iter().enumerate() {
        let name = format!("secret-{index}");
        documents.push(secret(&name, &[("value", &content(round))]));
        let script = format!("head -n 1 /s/c/e; {}", pods::STAY);
        let mut pod = mounting(
            pods::script(&scene.name(&format!("pod-{index}")), &script),
            &name,
        );
        let items = FILES.map(|path| json!({"key": "value", "path": path}));
        pod["spec"]["volumes"][0]["secret"]["items"] = json!(items);
        // Two volumes of a pod appear together.
        let again = json!({"name": "again", "mountPath": "/again"});
        pod["spec"]["containers"][0]["volumeMounts"]
            .as_array_mut()
            .unwrap()
            .push(again);
        let again = json!({"name": "again", "secret": {"secretName": name}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(again);
        documents.push(pod);
    }
    documents
}

#[derive(Debug, Default)]
struct Met {
    answered: u64,
    silent: u64,
    undone: u64,
    power_cuts: u64,
    /// Folders of pods that were looked at, and those that were not yet under their uid.
    whole: u64,
    staged: u64,
}

#[test]
fn files_are_whole_and_none_is_left_over_whenever_everything_is_killed() {
    let kills = number("SEEDPOD_TORTURE_SECRET_KILLS").unwrap_or(10);
    let seed = number("SEEDPOD_TORTURE_KILL_SEED").unwrap_or_else(fresh_seed);
    println!("{kills} kills, SEEDPOD_TORTURE_KILL_SEED={seed}");
    let node = Node::start(&NodeOptions::default()).unwrap();
    let scene = Scene::on(&node, "secret-kill");
    let once = connect_lazy(socket_options(&scene.daemon).retry(RetryPolicy::none()));
    let mut random = Random::new(seed);
    let mut met = Met::default();
    let mut rounds = [0, 0];
    let mut bundle = scene
        .inject("bundle", &documents(&scene, rounds))
        .unwrap()
        .bundle;
    for round in 1..=kills {
        let before = (bundle.clone(), rounds);
        let which = usize::try_from(random.below(3)).unwrap();
        for (index, of_pod) in rounds.iter_mut().enumerate() {
            if which == 2 || which == index {
                *of_pod = round;
            }
        }
        let request = scene.request("bundle", &documents(&scene, rounds));
        let (client, sent) = (once.clone(), request.clone());
        let sent = spawn(async move { client.inject(&sent).await });
        // No wait for a condition: the instant is what is tried out. The longer ones meet the replacement of the pods.
        let longest = [20, 60, 150, 400, 2500][usize::try_from(random.below(5)).unwrap()];
        sleep(random.up_to(Duration::from_millis(longest)));
        if random.below(4) == 0 {
            // Everything first, so that the kubelet meets what was there at that instant.
            node.kill_all().unwrap();
            whole(&scene, &mut met);
            node.cut_power().unwrap();
            node.power_on().unwrap();
            met.power_cuts += 1;
        } else if random.below(3) == 0 {
            node.kill_all().unwrap();
            whole(&scene, &mut met);
            node.start_killed().unwrap();
        } else {
            scene.daemon.kill9().unwrap();
            whole(&scene, &mut met);
        }
        scene.daemon.start_again().unwrap();
        let answered = run(sent).unwrap().is_ok();
        bundle = scene.bundle("bundle").unwrap();
        if bundle.revision == before.0.revision {
            assert!(!answered, "what was answered is lost");
            assert_eq!(committed(bundle.clone()), committed(before.0));
            met.undone += 1;
            rounds = before.1;
        } else if answered {
            met.answered += 1;
        } else {
            met.silent += 1;
        }
        settled(&scene, &bundle, rounds);
    }
    println!("{met:?}");
    assert!(
        met.whole > 0 && met.answered + met.silent > 0 && met.power_cuts > 0,
        "{met:?}"
    );

    let begun = Instant::now();
    let wait = Wait::new(PATIENCE).patience(PATIENCE);
    run(scene
        .client
        .wait_running(&bundle.name, bundle.revision, wait))
    .expect("all pods come up");
    println!("all pods ran after {:?}", begun.elapsed());
    for (index, round) in rounds.iter().enumerate() {
        scene.wait_for_line(&format!("pod-{index}"), &format!("{round:08}"));
    }
    scene.remove_and_wait("bundle");
    let volumes = scene.daemon.volumes_directory();
    wait_until(PATIENCE, "no volume is left", || names(&volumes).is_empty()).unwrap();
    let gone = scene.bundle("bundle").unwrap_err();
    assert_eq!(gone.code(), Some(Code::NotFound));
    contents_are_those_of_the_kept_revisions(&scene);
}

/// The removed bundle's revisions are still kept, each with all that it refers to, and nothing besides.
fn contents_are_those_of_the_kept_revisions(scene: &Scene<'_>) {
    let name = scene.name("bundle");
    let operator = connect_lazy(socket_options(&scene.daemon));
    let revisions = run(operator.list_revisions(&name)).unwrap();
    for revision in &revisions {
        let whole = run(operator.get_revision_with_secrets(&name, revision.revision)).unwrap();
        assert_eq!(whole.object_manifests.len(), whole.objects.len());
    }
    let state = scene.daemon.state_directory();
    let folder = state.join("bundles").join(&name);
    let texts: String = names(&folder)
        .iter()
        .map(|it| read(&folder.join(it)))
        .collect();
    let objects = state.join("objects");
    wait_until(PATIENCE, "no other content is left", || {
        let mut objects = names(&objects);
        objects.retain(|it| it != "digest-key");
        !objects.is_empty() && objects.iter().all(|digest| texts.contains(digest))
    })
    .unwrap_or_else(|error| panic!("{error}: {:?}", names(&objects)));
}

/// While the daemon is dead: what the kubelet is told to mount is there, and what is there under a uid is whole.
fn whole(scene: &Scene<'_>, met: &mut Met) {
    let volumes = scene.daemon.volumes_directory();
    let mut uids = BTreeSet::new();
    for name in names(&volumes) {
        let is_uid =
            name.len() == 36 && name.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
        if !is_uid {
            met.staged += 1;
            continue;
        }
        met.whole += 1;
        let folder = volumes.join(&name);
        assert_eq!(names(&folder), ["again", "s"], "{}", folder.display());
        let files = FILES.map(|path| folder.join("s").join(path));
        let first = read(&files[0]);
        let round = first[..8].parse().unwrap();
        assert_eq!(first, content(round), "{} is torn", folder.display());
        for file in files.iter().chain([&folder.join("again/value")]) {
            assert_eq!(read(file), first, "{} is torn", file.display());
        }
        uids.insert(name);
    }
    for name in names(&scene.node.manifests()) {
        if name.starts_with('.') {
            continue;
        }
        let text = read(&scene.node.manifests().join(&name));
        let pod: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name} is torn: {error}"));
        let path = pod["spec"]["volumes"][0]["hostPath"]["path"]
            .as_str()
            .unwrap();
        let uid = Path::new(path)
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        assert!(
            uids.contains(&uid),
            "{name} has been written before its volumes"
        );
    }
}

/// Once the daemon is at it again: each demanded pod has its files, and nothing else is there that nothing needs.
fn settled(scene: &Scene<'_>, bundle: &Bundle, rounds: [u64; 2]) {
    let volumes = scene.daemon.volumes_directory();
    let demanded: Vec<_> = bundle.pods.iter().zip(rounds).collect();
    wait_until(PATIENCE, "each pod has its files", || {
        demanded.iter().all(|(pod, round)| {
            let file = volumes.join(&pod.uid).join("s/c/e");
            fs::read_to_string(file).is_ok_and(|it| it == content(*round))
        })
    })
    .unwrap();
    let wanted: BTreeSet<String> = bundle.pods.iter().map(|it| it.uid.clone()).collect();
    wait_until(PATIENCE, "nothing is left over", || {
        names(&volumes).into_iter().collect::<BTreeSet<_>>() == wanted
    })
    .unwrap_or_else(|error| panic!("{error}: {:?} and not {wanted:?}", names(&volumes)));
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
