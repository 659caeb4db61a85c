//! What the kubelet demands of the paths in a volume, and more.

use seedpod_manifest::VolumeContent;

/// The longest name and path of a file in a volume: `maxFileNameLength` and `maxPathLength` in the kubelet's
/// `pkg/volume/util/atomic_writer.go`.
const MAX_NAME: usize = 255;
const MAX_PATH: usize = 4096;

pub(super) fn are_sound(volume: &VolumeContent<'_>) {
    let name = &volume.name;
    assert!(!name.is_empty() && name.len() <= 63, "{volume:?}");
    assert!(
        name.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        "{volume:?}"
    );
    assert_eq!(volume.folder_mode & !0o2777, 0, "{volume:?}");
    let mut earlier: Option<&str> = None;
    for (path, file) in &volume.files {
        assert!(path.len() <= MAX_PATH, "{volume:?}");
        assert!(!path.contains('\0'), "{volume:?}");
        // The kubelet keeps names that begin so for itself.
        assert!(!path.starts_with(".."), "{volume:?}");
        for part in path.split('/') {
            assert!(!matches!(part, "" | "." | ".."), "{volume:?}");
            assert!(part.len() <= MAX_NAME, "{volume:?}");
        }
        assert_eq!(file.mode & !0o777, 0, "{volume:?}");
        for (end, _) in path.match_indices('/') {
            assert!(!volume.files.contains_key(&path[..end]), "{volume:?}");
        }
        assert!(earlier < Some(path.as_str()));
        earlier = Some(path);
    }
}
