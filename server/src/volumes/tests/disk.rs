#![allow(
    clippy::disallowed_methods,
    reason = "tests play the others who write into the folders"
)]

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    process::Command,
};

use super::*;
use crate::{fs::Disk, metrics::Metrics};

/// A group that is not the daemon's own, if the tests may give files to one.
fn group() -> u32 {
    if own_uid() == 0 {
        4242
    } else {
        rustix::process::getegid().as_raw()
    }
}

struct Node {
    folder: tempfile::TempDir,
    volumes: Volumes,
    given: Given,
}

impl Node {
    fn new(given: Vec<VolumeContent<'static>>) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let given = Given::new(given);
        let disk = Arc::new(Disk::new(Metrics::default()));
        let directory = folder.path().join("volumes");
        let volumes = Volumes::new(disk, given.clone(), directory);
        Self {
            folder,
            volumes,
            given,
        }
    }

    fn put(&self, repair: bool) -> Result<Put, PutError> {
        let pod = pod(&self.directory(), &uid(1));
        self.volumes.put(&bundle(vec![pod.clone()]), &pod, repair)
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("volumes")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory().join(uid(1)).join(below)
    }

    /// All that is below the pod's folder: path, mode, group, and the content of files.
    fn tree(&self) -> Vec<(String, u32, u32, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        let base = self.path("");
        let mut open = vec![base.clone()];
        while let Some(path) = open.pop() {
            let metadata = path.symlink_metadata().expect("metadata");
            assert_eq!(metadata.uid(), own_uid());
            let content = metadata.is_file().then(|| fs::read(&path).expect("read"));
            if metadata.is_dir() {
                let entries = fs::read_dir(&path).expect("list");
                open.extend(entries.map(|entry| entry.expect("entry").path()));
            }
            let below = path.strip_prefix(&base).expect("below");
            let mode = metadata.mode() & 0o7777;
            found.push((below.display().to_string(), mode, metadata.gid(), content));
        }
        found.sort();
        found
    }
}

fn some_volumes() -> Vec<VolumeContent<'static>> {
    vec![
        volume(
            "config",
            None,
            &[
                ("app.yaml", 0o644, b"a: 1"),
                ("deep/er/file", 0o400, b"deep"),
            ],
        ),
        VolumeContent {
            folders: ["mounts/below".to_owned()].into(),
            ..volume("empty", None, &[])
        },
        volume(
            "tls",
            Some(group()),
            &[("ca.crt", 0o440, b"ca"), ("tls.key", 0o640, b"key")],
        ),
    ]
}

fn some_tree() -> Vec<(String, u32, u32, Option<Vec<u8>>)> {
    let own = rustix::process::getegid().as_raw();
    let entry = |path: &str, mode, gid, content: Option<&[u8]>| {
        (path.to_owned(), mode, gid, content.map(<[u8]>::to_vec))
    };
    vec![
        entry("", 0o700, own, None),
        entry("config", 0o755, own, None),
        entry("config/app.yaml", 0o644, own, Some(b"a: 1")),
        entry("config/deep", 0o755, own, None),
        entry("config/deep/er", 0o755, own, None),
        entry("config/deep/er/file", 0o400, own, Some(b"deep")),
        entry("empty", 0o755, own, None),
        entry("empty/mounts", 0o755, own, None),
        entry("empty/mounts/below", 0o755, own, None),
        entry("tls", 0o2755, group(), None),
        entry("tls/ca.crt", 0o440, group(), Some(b"ca")),
        entry("tls/tls.key", 0o640, group(), Some(b"key")),
    ]
}

#[test]
fn files_and_folders_have_the_modes_and_groups_that_they_are_to_have() {
    let node = Node::new(some_volumes());
    assert_eq!(node.put(true).expect("put"), Put::Made);
    assert_eq!(node.tree(), some_tree());
    let parent = fs::metadata(node.directory()).expect("metadata");
    assert_eq!(parent.mode() & 0o7777, 0o700);
    let names = fs::read_dir(node.directory()).expect("list").count();
    assert_eq!(names, 1, "nothing staged is left");
    assert_eq!(node.put(true).expect("put again"), Put::Nothing);
}

#[test]
fn the_umask_does_not_matter() {
    // It is one for all threads, so another process has to have it.
    let test =
        "volumes::tests::disk::files_and_folders_have_the_modes_and_groups_that_they_are_to_have";
    let exe = std::env::current_exe().expect("this program");
    for umask in ["000", "077", "027"] {
        let output = Command::new("sh")
            .args(["-c", "umask $1; exec \"$2\" --exact \"$3\"", "sh", umask])
            .arg(&exe)
            .arg(test)
            .output()
            .expect("sh");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "umask {umask}: {said}");
        assert!(said.contains("1 passed"), "umask {umask}: {said}");
    }
}

#[test]
fn hundreds_of_files_and_large_ones_are_written_and_compared() {
    let large = vec![7; 1 << 20];
    let names: Vec<String> = (0..400).map(|n| format!("file-{n}")).collect();
    let mut files: Vec<(&str, u32, &[u8])> = vec![("large", 0o644, &large)];
    files.extend(
        names
            .iter()
            .map(|name| (name.as_str(), 0o600, name.as_bytes())),
    );
    let node = Node::new(vec![volume("many", None, &files)]);
    assert_eq!(node.put(true).expect("put"), Put::Made);
    assert_eq!(node.put(true).expect("put again"), Put::Nothing);
    assert_eq!(fs::read(node.path("many/large")).expect("read"), large);
    for name in &names {
        fs::write(node.path("many").join(name), "").expect("write");
    }
    let Put::Repaired(differences) = node.put(true).expect("put right") else {
        panic!("nothing was seen");
    };
    let text = differences.to_string();
    assert!(text.ends_with(", and 396 more"), "{text}");
    assert_eq!(node.put(true).expect("put again"), Put::Nothing);
}

type Tamper = fn(&Node);

/// What somebody may do, and what is said of it.
const TAMPERED: &[(&str, Tamper)] = &[
    ("tls/tls.key has another content", |node| {
        fs::write(node.path("tls/tls.key"), "kex").expect("write");
    }),
    ("tls/tls.key has another content", |node| {
        fs::write(node.path("tls/tls.key"), "longer than before").expect("write");
    }),
    ("config/app.yaml has another mode or owner", |node| {
        let mode = fs::Permissions::from_mode(0o666);
        fs::set_permissions(node.path("config/app.yaml"), mode).expect("chmod");
    }),
    ("tls has another mode or owner", |node| {
        let mode = fs::Permissions::from_mode(0o777);
        fs::set_permissions(node.path("tls"), mode).expect("chmod");
    }),
    ("the folder has another mode or owner", |node| {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(node.path(""), mode).expect("chmod");
    }),
    ("tls/ca.crt was removed", |node| {
        fs::remove_file(node.path("tls/ca.crt")).expect("remove");
    }),
    ("config/deep was removed", |node| {
        fs::remove_dir_all(node.path("config/deep")).expect("remove");
    }),
    ("empty/more was added", |node| {
        fs::create_dir_all(node.path("empty/more/folders")).expect("folders");
    }),
    ("another was added", |node| {
        fs::write(node.path("another"), "").expect("write");
    }),
    ("tls/ca.crt is something else", |node| {
        fs::remove_file(node.path("tls/ca.crt")).expect("remove");
        fs::create_dir_all(node.path("tls/ca.crt/folder")).expect("folder");
    }),
    ("config/deep is something else", |node| {
        fs::remove_dir_all(node.path("config/deep")).expect("remove");
        fs::write(node.path("config/deep"), "").expect("write");
    }),
    ("tls/tls.key is something else", |node| {
        fs::rename(node.path("tls/tls.key"), node.folder.path().join("moved")).expect("move");
        symlink(node.folder.path().join("moved"), node.path("tls/tls.key")).expect("symlink");
    }),
    ("config is something else", |node| {
        fs::rename(node.path("config"), node.folder.path().join("moved")).expect("move");
        symlink(node.folder.path().join("moved"), node.path("config")).expect("symlink");
    }),
];

#[test]
fn what_somebody_changed_is_told_and_put_right_and_nothing_else_is_touched() {
    for (said, tamper) in TAMPERED {
        let node = Node::new(some_volumes());
        node.put(true).expect("put");
        tamper(&node);
        let moved = node.folder.path().join("moved");
        let before = fs::metadata(&moved)
            .ok()
            .map(|it| (it.ino(), it.mtime_nsec()));
        let tree = fs::symlink_metadata(node.path("empty"))
            .expect("metadata")
            .ino();
        let Put::Repaired(differences) = node.put(true).expect("put right") else {
            panic!("{said}: not seen");
        };
        let text = differences.to_string();
        assert!(text.starts_with(said), "{said}: {text}");
        assert_eq!(node.tree(), some_tree(), "{said}");
        assert_eq!(node.put(true).expect("put again"), Put::Nothing, "{said}");
        let after = fs::metadata(&moved)
            .ok()
            .map(|it| (it.ino(), it.mtime_nsec()));
        assert_eq!(before, after, "{said}: not followed");
        let untouched = fs::metadata(node.path("empty")).expect("metadata").ino();
        assert_eq!(tree, untouched, "{said}");
    }
}

#[test]
fn without_repair_it_is_told_and_left() {
    for (said, tamper) in TAMPERED {
        let node = Node::new(some_volumes());
        node.put(false).expect("put");
        tamper(&node);
        let before = node.tree();
        let Put::Left(differences) = node.put(false).expect("looked at") else {
            panic!("{said}: not seen");
        };
        let text = differences.to_string();
        assert!(text.starts_with(said), "{said}: {text}");
        assert_eq!(node.tree(), before, "{said}");
    }
}

#[test]
fn a_file_is_replaced_and_never_written_in_place() {
    let node = Node::new(some_volumes());
    node.put(true).expect("put");
    let mut reader = fs::File::open(node.path("tls/tls.key")).expect("open");
    fs::write(node.path("tls/tls.key"), "bad").expect("write");
    node.put(true).expect("put right");
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut reader, &mut seen).expect("read");
    assert_eq!(seen, "bad", "who has it open goes on with what it opened");
}

#[test]
fn a_symbolic_link_in_the_place_of_a_folder_of_ours_is_never_followed() {
    for place in [uid(1), format!("{STAGED_PREFIX}{}", uid(1))] {
        let node = Node::new(some_volumes());
        let outside = node.folder.path().join("outside");
        fs::create_dir(&outside).expect("folder");
        fs::write(outside.join("kept"), "").expect("write");
        fs::create_dir(node.directory()).expect("folder");
        symlink(&outside, node.directory().join(&place)).expect("symlink");
        assert_eq!(node.put(true).expect("put"), Put::Made, "{place}");
        assert_eq!(node.tree(), some_tree(), "{place}");
        let names = fs::read_dir(&outside).expect("list").count();
        assert_eq!(names, 1, "{place}: nothing was written or removed there");
    }
}

#[test]
fn a_directory_that_others_could_write_to_is_refused_with_the_remedy() {
    let refused = |node: &Node, said: &str| {
        let error = crate::error::chain(&node.put(true).expect_err("refused"));
        assert!(error.contains(said), "{error}");
        assert!(error.contains("volumesDirectory"), "{error}");
    };
    let node = Node::new(some_volumes());
    let outside = node.folder.path().join("outside");
    fs::create_dir(&outside).expect("folder");
    symlink(&outside, node.directory()).expect("symlink");
    refused(&node, "symbolic link");
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0);
    fs::remove_file(node.directory()).expect("remove");

    fs::write(node.directory(), "").expect("write");
    refused(&node, "no folder");
    fs::remove_file(node.directory()).expect("remove");

    fs::create_dir(node.directory()).expect("folder");
    for mode in [0o1777, 0o770] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(node.directory(), mode).expect("chmod");
        refused(&node, "written by others");
    }
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(node.directory(), mode).expect("chmod");
    if own_uid() == 0 {
        chown(node.directory(), Some(4242), None).expect("chown");
        refused(&node, "another user");
        chown(node.directory(), Some(0), None).expect("chown");
    }
    assert_eq!(node.put(true).expect("put"), Put::Made);
}

#[test]
fn no_path_leads_out_of_the_folder_and_no_two_things_share_one() {
    let long = "x".repeat(256);
    let bad = [
        "../out",
        "a/../../out",
        "..",
        ".",
        "",
        "/etc/out",
        "a//b",
        "a/",
        "a\0b",
        &long,
    ];
    for path in bad {
        let node = Node::new(vec![volume("v", None, &[(path, 0o644, b"x")])]);
        let error = node.put(true).expect_err(path);
        assert!(matches!(error, PutError::Io { .. }), "{path:?}: {error:?}");
        let left = fs::read_dir(node.directory()).expect("list").count();
        assert_eq!(left, 0, "{path:?}: nothing is left");
    }
    for name in ["../v", "..", "", "a/b"] {
        let node = Node::new(vec![volume(name, None, &[])]);
        node.put(true).expect_err(name);
    }
    for folder in ["../f", "..", "", "/f", "f/"] {
        let node = Node::new(vec![VolumeContent {
            folders: [folder.to_owned()].into(),
            ..volume("v", None, &[])
        }]);
        node.put(true).expect_err(folder);
    }
    let twice = [
        vec![volume("v", None, &[("a", 0o644, b""), ("a/b", 0o644, b"")])],
        vec![volume("v", None, &[]), volume("v", None, &[])],
    ];
    for volumes in twice {
        let node = Node::new(volumes);
        let error = crate::error::chain(&node.put(true).expect_err("refused"));
        assert!(error.contains("two things at once"), "{error}");
    }
    let node = Node::new(some_volumes());
    let pod = pod(&node.directory(), "../escaped");
    let error = node.volumes.put(&bundle(Vec::new()), &pod, true);
    error.expect_err("a uid that is none");
    assert!(!node.folder.path().join("escaped").exists());
}

#[test]
fn a_pod_without_volumes_makes_nothing_and_contents_that_are_lost_are_told() {
    let node = Node::new(some_volumes());
    let mut plain = pod(&node.directory(), &uid(2));
    plain.volumes = None;
    let put = node.volumes.put(&bundle(Vec::new()), &plain, true);
    assert_eq!(put.expect("nothing to do"), Put::Nothing);
    assert!(!node.directory().exists());

    node.given.set(None);
    let error = crate::error::chain(&node.put(true).expect_err("lost"));
    assert!(error.contains("default/web"), "{error}");
    assert!(error.contains("inject the bundle anew"), "{error}");
    assert!(!node.path("").exists());
}

#[test]
fn nothing_that_is_printed_has_a_content() {
    let node = Node::new(vec![volume("v", None, &[("key", 0o600, b"hunter2")])]);
    node.put(true).expect("put");
    fs::write(node.path("v/key"), "changed").expect("write");
    let put = node.put(true).expect("put right");
    let volumes = [volume("v", None, &[("key", 0o600, b"hunter2")])];
    let wanted = Wanted::of(&volumes).expect("wanted");
    let printed = format!("{put:?} {wanted:?} {:?}", node.volumes);
    for secret in ["hunter2", "104, 117, 110"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
