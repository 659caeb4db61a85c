//! What Seedpod did not write is never touched.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use seedpod_client::Code;
use seedpod_integration::ContainerKind;

use crate::rig::{node, place, pod, unique};
use crate::scene::{Scene, files_of, run, wait_running};

/// Everything by which a change of a file would show.
fn evidence(file: &Path) -> (Vec<u8>, u64, i64, i64, u32) {
    let data = fs::metadata(file).unwrap();
    let content = fs::read(file).unwrap();
    (
        content,
        data.ino(),
        data.mtime(),
        data.mtime_nsec(),
        data.mode(),
    )
}

#[test]
fn a_file_in_the_place_of_a_pod_is_refused_and_left_alone() {
    let scene = Scene::new("foreign-file");
    scene.inject_and_wait("bundle", &[scene.pod("mine", "mine")]);
    let before = scene.bundle("bundle").unwrap();
    // No manifest at all: the kubelet logs that, and goes on.
    let theirs = scene.file("theirs");
    fs::write(&theirs, "not a pod\n").unwrap();
    let files = || [scene.file("mine"), theirs.clone()].map(|file| evidence(&file));
    let untouched = files();

    let pods = [scene.pod("mine", "changed"), scene.pod("theirs", "x")];
    for validate_only in [false, true] {
        let request = scene.request("bundle", &pods).validate_only(validate_only);
        let error = run(scene.client.inject(&request)).unwrap_err();
        assert_eq!(error.code(), Some(Code::AlreadyExists), "{error}");
        assert_eq!(error.reason(), Some("FOREIGN_FILE"));
        let metadata = &error.server().unwrap().metadata;
        let file = theirs.file_name().unwrap().to_str().unwrap();
        assert_eq!(metadata["file"], file);
        assert!(error.to_string().contains(file), "{error}");
        assert_eq!(
            error.field_violations()[0].field,
            "manifests[1].metadata.name"
        );
    }
    assert_eq!(files(), untouched);
    assert_eq!(scene.bundle("bundle").unwrap(), before);
    fs::remove_file(theirs).unwrap();
    // Nothing of the refusal stays.
    scene.inject_and_wait("bundle", &pods);
    scene.wait_for_line("theirs", "x");
}

#[test]
fn the_name_of_a_foreign_pod_is_refused_and_its_pod_runs_on() {
    let scene = Scene::new("foreign-pod");
    let name = scene.name("web");
    let file = place(scene.node, &pod(&name, "theirs"));
    let container = wait_running(scene.node, &name, ContainerKind::Container);
    let untouched = evidence(&file);

    let error = scene
        .inject("bundle", &[scene.pod("web", "mine")])
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::AlreadyExists), "{error}");
    assert_eq!(error.reason(), Some("FOREIGN_POD"));
    let metadata = &error.server().unwrap().metadata;
    assert_eq!(metadata["file"], format!("{name}.json"));
    assert_eq!(metadata["pod"], format!("default/{name}"));

    assert_eq!(evidence(&file), untouched);
    assert!(files_of(&scene.node.manifests(), &name).is_empty());
    assert_eq!(
        scene.bundle("bundle").unwrap_err().code(),
        Some(Code::NotFound)
    );
    let same = wait_running(scene.node, &name, ContainerKind::Container);
    assert_eq!(same.id, container.id);
    let foreign = run(scene.client.get_node()).unwrap().foreign_files;
    assert!(foreign.contains(&format!("{name}.json")), "{foreign:?}");

    fs::remove_file(file).unwrap();
    scene.wait_stopped("web");
    scene.inject_and_wait("bundle", &[scene.pod("web", "mine")]);
    scene.wait_for_line("web", "mine");
}

#[test]
fn the_pod_of_another_daemon_of_the_node_is_foreign() {
    let first = Scene::new("neighbour");
    let second = Scene::new("neighbour");
    first.inject_and_wait("bundle", &[first.pod("web", "first")]);
    let untouched = evidence(&first.file("web"));

    let error = second
        .inject("bundle", &[first.pod("web", "second")])
        .unwrap_err();
    // The other store's file is no business of this one, whatever its name looks like.
    assert_eq!(error.reason(), Some("FOREIGN_FILE"), "{error}");
    second.inject_and_wait("bundle", &[second.pod("web", "second")]);
    second.remove_and_wait("bundle");
    assert_eq!(evidence(&first.file("web")), untouched);
    assert!(first.running("web", ContainerKind::Container).is_some());
}

#[test]
fn a_pod_of_another_bundle_is_refused() {
    let scene = Scene::new("other-bundle");
    let (first, _) = scene.inject_and_wait("first", &[scene.pod("web", "first")]);
    let untouched = evidence(&scene.file("web"));
    let error = scene
        .inject("second", &[scene.pod("web", "second")])
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::AlreadyExists));
    assert_eq!(error.reason(), Some("POD_IN_OTHER_BUNDLE"));
    assert_eq!(
        error.server().unwrap().metadata["other_bundle"],
        scene.name("first")
    );
    assert_eq!(evidence(&scene.file("web")), untouched);
    assert_eq!(scene.bundle("first").unwrap(), first.bundle);
}

#[test]
fn files_that_are_no_manifests_of_ours_do_not_disturb() {
    let scene = Scene::new("odd-files");
    let name = unique("odd");
    let folder = node().manifests();
    let folder_in_it = folder.join(format!("{name}.d"));
    fs::create_dir(&folder_in_it).unwrap();
    let hidden = folder.join(format!(".{name}"));
    fs::write(&hidden, "hidden").unwrap();
    let link = folder.join(format!("{name}.yaml"));
    std::os::unix::fs::symlink("/nonexistent", &link).unwrap();

    scene.inject_and_wait("bundle", &[scene.pod("web", "hello")]);
    scene.remove_and_wait("bundle");
    assert!(folder_in_it.is_dir());
    assert_eq!(fs::read(&hidden).unwrap(), b"hidden");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("/nonexistent"));
    fs::remove_dir(folder_in_it).unwrap();
    fs::remove_file(hidden).unwrap();
    fs::remove_file(link).unwrap();
}
