//! The whole output of `seedpod render` for the clusters in `tests/snapshots`, as folders to read and compare.
//!
//! Keys are random: instead of keys and certificates the folders have what these are for, and `keys-and-certificates.txt`
//! lists the files that have nothing else. `SEEDPOD_UPDATE_SNAPSHOTS=1` writes the folders anew.

mod flags;
mod normalise;
mod rolls;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use seedpod_client::{
    Folder, FolderManifest,
    cluster::{ClusterConfiguration, Rendered, render},
};

use normalise::Normaliser;

/// Keeps two renderings apart, and is empty.
const LOCK: &str = ".seedpod-lock";

type Texts = BTreeMap<String, String>;

fn snapshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

/// Renders a cluster of `tests/snapshots` and compares it with the folder `rendered` beside it.
fn compare(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let source = snapshots().join(name);
    copy(&source, folder.path());
    if name == "external-etcd" {
        write_etcd_client(&folder.path().join("etcd"));
    }
    let loaded = ClusterConfiguration::load(folder.path().join("cluster.yaml")).unwrap();
    let out = folder.path().join("out");
    let rendered = render(&loaded, &out).unwrap();
    lint(&rendered);
    let normaliser = Normaliser::new(&rendered.pki);
    let mut texts = Texts::new();
    let mut list = String::new();
    for (path, text) in self::texts(&out) {
        let text = normaliser.text(&text);
        match text.lines().collect::<Vec<_>>()[..] {
            [only] if only.starts_with('<') => list.push_str(&format!("{path}: {only}\n")),
            _ => drop(texts.insert(path, text)),
        }
    }
    texts.insert("keys-and-certificates.txt".to_owned(), list);

    let expected = source.join("rendered");
    if std::env::var_os("SEEDPOD_UPDATE_SNAPSHOTS").is_some() {
        update(&expected, &texts);
    }
    assert_same(&self::texts(&expected), &texts);
}

/// `seedpod lint` has nothing to say of any bundle.
fn lint(rendered: &Rendered) {
    for bundle in &rendered.bundles {
        let folder = Folder::read(&bundle.folder).unwrap();
        assert_eq!(folder.bundle(), Some(&*bundle.bundle));
        let texts: Vec<&str> = folder
            .manifests()
            .iter()
            .map(FolderManifest::text)
            .collect();
        let options = seedpod_manifest::Options {
            node: bundle.node.parse().unwrap(),
            max_pods: 64,
            max_bytes: 4 << 20,
            field_validation: seedpod_manifest::FieldValidation::Strict,
            allow_secret_env: false,
        };
        let checked = seedpod_manifest::check(&texts, &options)
            .unwrap_or_else(|errors| panic!("{}: {errors:?}", bundle.folder.display()));
        assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
        // The pods that are handed over are those of the bundle.
        let handoffs = rendered.handoff.iter();
        let mut handoffs =
            handoffs.filter(|it| it.node == bundle.node && it.bundle == bundle.bundle);
        if let Some(handoff) = handoffs.next() {
            assert_eq!(handoff.components.len(), checked.pods.len());
        }
    }
}

#[test]
fn fewer_pods_than_nodes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.yaml");
    let text = fs::read_to_string(snapshots().join("three-nodes/cluster.yaml")).unwrap();
    let text = text
        .replace("addons: addons\n", "")
        .replace("scheduler:\n", "scheduler:\n  replicas: 2\n");
    write(&file, &text);
    let loaded = ClusterConfiguration::load(&file).unwrap();
    let error = render(&loaded, &folder.path().join("out"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("scheduler.replicas: 2 is too few"),
        "{error}"
    );
}

#[test]
fn addons_that_cannot_be_applied_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    copy(&snapshots().join("three-nodes"), folder.path());
    write(&folder.path().join("addons/30-bad.yaml"), "kind: Secret\n");
    let loaded = ClusterConfiguration::load(folder.path().join("cluster.yaml")).unwrap();
    let out = folder.path().join("out");
    let error = render(&loaded, &out).unwrap_err().to_string();
    assert!(
        error.contains("30-bad.yaml: documents[0]: apiVersion is missing"),
        "{error}"
    );
    assert_eq!(texts(&out), Texts::new());
}

#[test]
fn one_node() {
    compare("one-node");
}

#[test]
fn three_nodes_with_workers_and_overrides() {
    compare("three-nodes");
}

#[test]
fn an_external_etcd() {
    compare("external-etcd");
}

fn copy(from: &Path, to: &Path) {
    for (path, text) in texts(from) {
        if !path.starts_with("rendered/") {
            write(&to.join(path), &text);
        }
    }
}

/// What an administrator of that etcd would have given.
fn write_etcd_client(folder: &Path) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issued = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, &ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut client = rcgen::CertificateParams::new(Vec::new()).unwrap();
    client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client = client.signed_by(&key, &issuer).unwrap();
    for (name, text) in [
        ("ca.crt", issued.pem()),
        ("client.crt", client.pem()),
        ("client.key", key.serialize_pem()),
    ] {
        write(&folder.join(name), &text);
    }
}

/// All files of a folder and of those in it.
fn texts(folder: &Path) -> Texts {
    fn walk(root: &Path, folder: &Path, texts: &mut Texts) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, texts);
            } else if path.file_name().is_some_and(|name| name != LOCK) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                texts.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut texts = Texts::new();
    walk(folder, folder, &mut texts);
    texts
}

fn update(folder: &Path, texts: &Texts) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
    for (path, text) in texts {
        write(&folder.join(path), text);
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn assert_same(expected: &Texts, found: &Texts) {
    let mut differences = String::new();
    let paths = expected
        .keys()
        .chain(found.keys().filter(|path| !expected.contains_key(*path)));
    for path in paths {
        let [expected, found] = [expected, found].map(|texts| texts.get(path));
        let (Some(expected), Some(found)) = (expected, found) else {
            let what = if found.is_some() { "new" } else { "gone" };
            differences.push_str(&format!("{path} is {what}\n"));
            continue;
        };
        if expected != found {
            let diff = similar::TextDiff::from_lines(expected, found);
            let diff = diff.unified_diff().context_radius(2).to_string();
            differences.push_str(&format!("{path} differs:\n{diff}\n"));
        }
    }
    assert!(
        differences.is_empty(),
        "{differences}\nSEEDPOD_UPDATE_SNAPSHOTS=1 writes the folders anew, if this is meant"
    );
}
