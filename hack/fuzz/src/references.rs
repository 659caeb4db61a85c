//! Bundles whose pods take from Secrets and ConfigMaps, on all the way to the kubelet's file.

mod api;
mod frame;
mod kubelet;
mod leaks;
mod paths;

use seedpod_manifest::{
    Checked, DigestKey, FieldValidation, Materials, NodeName, Object, ObjectSummary, Objects,
    Options, Pod, Secrets, Side, Stamp, VolumeContent, as_rendered, check, diff, diff_object,
    grace_period, is_rendering_of, keep_uid, nudge, object_to_yaml, read_foreign, render, restamp,
    to_yaml, unrender,
};
use serde_json::Value;
use zeroize::Zeroizing;

use self::{
    api::{Api, Files},
    leaks::Leaks,
};
use crate::{generate::Bundle, manifest::options};

const UIDS: [&str; 2] = [
    "0a3cf6a8-6bd4-5e5f-8a45-111111111111",
    "0a3cf6a8-6bd4-5e5f-8a45-222222222222",
];

/// Takes `data` as text where it begins like text, else as the choices that make a bundle.
pub fn run(data: &[u8]) {
    let is_text = data
        .first()
        .is_some_and(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if !is_text {
        let bundle = Bundle::from_bytes(data);
        let options = options(bundle.field_validation, bundle.allow_secret_env);
        bundle_is_sound(&bundle.manifests, &options, Leaks::Watched);
        return;
    }
    let text = String::from_utf8_lossy(data);
    let _ = (
        Object::decode(data),
        Pod::from_source(&text),
        unrender(&text),
    );
    for allow_secret_env in [false, true] {
        let options = options(FieldValidation::Warn, allow_secret_env);
        bundle_is_sound(&[&*text], &options, Leaks::Unknown);
    }
}

/// Checks the manifests and, when they are right, does all that the node does with them.
fn bundle_is_sound<S: AsRef<str>>(manifests: &[S], options: &Options, leaks: Leaks) {
    let checked = match check(manifests, options) {
        Ok(checked) => checked,
        Err(violations) => {
            assert!(!violations.is_empty());
            leaks.none_in("violations", &format!("{violations:?}"));
            return;
        }
    };
    leaks.none_in("the answer", &format!("{checked:?}"));
    let key = DigestKey::new(Zeroizing::new([7; 32]));
    let summaries = objects_are_sound(&checked, &key, leaks);
    for pod in &checked.pods {
        pod_is_sound(pod, &checked, &summaries, &key, options, leaks);
    }
    same_again(&checked, &key, options);
}

fn objects_are_sound(checked: &Checked, key: &DigestKey, leaks: Leaks) -> Vec<ObjectSummary> {
    let mut summaries: Vec<ObjectSummary> = Vec::new();
    for object in checked.objects.iter() {
        let bytes = object.encode();
        let back = Object::decode(&bytes).expect("what was encoded is decoded");
        let summary = object.summary(key);
        assert_eq!(back.summary(key), summary);
        assert_eq!(back.encode(), bytes);
        assert_eq!(
            object_to_yaml(&back, Secrets::Shown),
            object_to_yaml(object, Secrets::Shown)
        );
        assert!(
            Object::decode(&bytes[..bytes.len() - 1]).is_none(),
            "a cut object"
        );
        leaks.none_in("a summary", &format!("{summary:?}"));
        leaks.none_in(
            "a summary's JSON",
            &serde_json::to_string(&summary).expect("JSON"),
        );
        leaks.none_in("masked YAML", &object_to_yaml(object, Secrets::Masked));
        assert_eq!(diff_object(Some(&summary), Some(&summary)), "");
        for (old, new) in [
            (None, Some(&summary)),
            (Some(&summary), None),
            (summaries.last(), Some(&summary)),
        ] {
            let text = diff_object(old, new);
            assert!(!text.is_empty());
            leaks.none_in("an object's diff", &text);
        }
        summaries.push(summary);
    }
    summaries
}

fn pod_is_sound(
    pod: &Pod,
    checked: &Checked,
    summaries: &[ObjectSummary],
    key: &DigestKey,
    options: &Options,
    leaks: Leaks,
) {
    let materials = materials(pod, checked, &options.node);
    leaks.none_in("materials", &format!("{materials:?}"));
    let digest = materials.digest(pod, key);
    if pod.references().is_empty() {
        assert_eq!(digest, pod.digest());
    }
    let volumes = materials.volumes(UIDS[0]);
    for volume in &volumes {
        paths::are_sound(volume);
        leaks.none_in("a volume", &format!("{volume:?}"));
    }
    let source = Pod::from_source(&pod.source()).expect("a source is read back");
    assert_eq!(source.digest(), pod.digest());
    assert_eq!(source.references(), pod.references());

    let bundle = "web".parse().expect("a bundle's name");
    let stamp = |uid: usize| Stamp {
        bundle: &bundle,
        revision: 1 + uid as u64,
        uid: UIDS[uid],
        digest,
        volumes: ["/run/seedpod/volumes/1", "/run/seedpod/volumes/2"][uid],
    };
    let rendered = render(pod, &stamp(0), &materials);
    assert_eq!(
        rendered,
        render(&source, &stamp(0), &materials),
        "not the same again"
    );
    let value = serde_json::from_str(&rendered).expect("JSON");
    kubelet::refers_to_nothing(&value);
    as_from_the_api(pod, checked, &volumes, &value, stamp(0).volumes);
    if !options.allow_secret_env {
        leaks.none_in("a rendered pod", &rendered);
    }
    let other = render(pod, &stamp(1), &materials);
    assert_eq!(
        restamp(&rendered, &source, &stamp(1)).as_ref(),
        Some(&other),
        "not restamped"
    );
    assert_eq!(
        restamp(&other, &source, &stamp(0)).as_ref(),
        Some(&rendered),
        "not restamped back"
    );

    let nudged = keep_uid(&nudge(&rendered, 3), UIDS[1]);
    assert!(is_rendering_of(nudged.as_bytes(), &rendered));
    assert_eq!(as_rendered(nudged.as_bytes()).as_ref(), Some(&rendered));
    assert_eq!(
        read_foreign(nudged.as_bytes()).expect("a pod").key,
        *pod.key()
    );
    let _ = grace_period(&rendered);
    if pod.references().is_empty() {
        assert_eq!(unrender(&nudged).map(|it| it.digest()), Some(pod.digest()));
    }

    let side = Side {
        pod,
        objects: summaries,
    };
    let bare = Side { pod, objects: &[] };
    assert_eq!(diff(Some(side), Some(side)), "");
    for (old, new) in [
        (None, Some(side)),
        (Some(side), None),
        (Some(bare), Some(side)),
    ] {
        leaks.none_in("a diff", &diff(old, new));
    }
    assert!(!diff(None, Some(side)).is_empty());
    leaks.none_in("masked YAML", &to_yaml(pod, Secrets::Masked));
}

/// The pod's containers see what they would have seen, and nothing else of the pod has changed.
fn as_from_the_api(
    pod: &Pod,
    checked: &Checked,
    volumes: &[VolumeContent<'_>],
    rendered: &Value,
    folder: &str,
) {
    let api = Api::new(&pod.key().namespace, &checked.objects);
    let nothing = Api::new(&pod.key().namespace, &Objects::default());
    let spec = &pod.value()["spec"];
    for list in ["initContainers", "containers"] {
        for (before, after) in items(&spec[list]).zip(items(&rendered["spec"][list])) {
            assert_eq!(
                api.environment(before),
                nothing.environment(after),
                "{before} {after}"
            );
        }
    }
    let mut contents = volumes.iter();
    let group = spec["securityContext"]["fsGroup"].as_u64();
    for volume in items(&spec["volumes"]) {
        let Some(files) = api.files(volume, UIDS[0]) else {
            continue;
        };
        let content = contents.next().expect("a volume that takes from objects");
        assert_eq!(volume["name"], content.name);
        assert_eq!(content.group.map(u64::from), group);
        assert_eq!(
            content.folder_mode,
            if group.is_some() { 0o2755 } else { 0o755 }
        );
        // Where others are mounted into it, the kubelet leaves files out.
        if content.folders.is_empty() {
            files_are(content, files, volume);
        }
    }
    assert!(contents.next().is_none());
    let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    frame::has_folders(rendered, folder, &names);
    assert_eq!(frame::of(pod.value(), &names), frame::of(rendered, &names));
}

fn files_are(content: &VolumeContent<'_>, mut files: Files, volume: &Value) {
    for (path, file) in &content.files {
        let (mode, bytes) = files
            .remove(path)
            .unwrap_or_else(|| panic!("{path:?} is too much: {volume}"));
        let more = content.group.map_or(0, |_| 0o440);
        assert_eq!(file.mode, mode | more, "{path:?} of {volume}");
        if let Some(bytes) = bytes {
            assert_eq!(*file.content, bytes, "{path:?} of {volume}");
        }
    }
    assert!(files.is_empty(), "{:?} are missing: {volume}", files.keys());
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn materials<'o>(pod: &Pod, checked: &'o Checked, node: &NodeName) -> Materials<'o> {
    Materials::of(pod, &checked.objects, node).expect("a checked pod has all that it needs")
}

/// Writes out what was understood, and expects that this means the same.
fn same_again(checked: &Checked, key: &DigestKey, options: &Options) {
    let objects = checked
        .objects
        .iter()
        .map(|object| object_to_yaml(object, Secrets::Shown));
    let pods = checked.pods.iter().map(|pod| to_yaml(pod, Secrets::Shown));
    let texts: Vec<String> = objects.chain(pods).collect();
    let again = match check(&texts, options) {
        Ok(again) => again,
        Err(violations) => panic!("{violations:?}\n{}", texts.join("---\n")),
    };
    let digests = |checked: &Checked| -> Vec<_> {
        let digest = |pod| materials(pod, checked, &options.node).digest(pod, key);
        checked.pods.iter().map(digest).collect()
    };
    let summaries = |checked: &Checked| -> Vec<_> {
        let objects = checked.objects.iter();
        objects.map(|object| object.summary(key)).collect()
    };
    assert_eq!(
        summaries(&again),
        summaries(checked),
        "{}",
        texts.join("---\n")
    );
    assert_eq!(digests(&again), digests(checked), "{}", texts.join("---\n"));
}
