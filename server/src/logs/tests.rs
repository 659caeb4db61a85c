//! The reading side against somebody who plays the container, the runtime and the kubelet.

mod rotation;
mod tailing;

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

use super::{
    chain::Extent,
    error::LogError,
    merge::{ContainerLine, Sources},
    source::Source,
};

/// Writes the log of one container as the runtime does, and rotates it as the kubelet does.
pub(super) struct Writer {
    folder: tempfile::TempDir,
    attempt: u32,
    /// What the runtime has open.
    file: File,
    time: i64,
    rotations: u32,
}

impl Writer {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = append(folder.path().join("0.log"));
        Self {
            folder,
            attempt: 0,
            file,
            time: 1_700_000_000_000_000_000,
            rotations: 0,
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join(format!("{}.log", self.attempt))
    }

    /// One entry; its time.
    pub(super) fn entry(&mut self, output: &str, tag: &str, text: &str) -> Timestamp {
        self.time += 1_000;
        let time = Timestamp::from_nanosecond(self.time.into()).expect("a time");
        self.raw(format!("{time:.9} {output} {tag} {text}\n").as_bytes());
        time
    }

    pub(super) fn line(&mut self, text: &str) -> Timestamp {
        self.entry("stdout", "F", text)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).expect("write");
    }

    /// The kubelet's part of a rotation. The runtime goes on with the old file.
    pub(super) fn rename(&mut self) {
        self.rotations += 1;
        let name = format!("{}.log.20260101-{:06}", self.attempt, self.rotations);
        #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
        fs::rename(self.base(), self.folder.path().join(name)).expect("rename");
    }

    /// The runtime's part.
    pub(super) fn reopen(&mut self) {
        self.file = append(self.base());
    }

    /// Compresses what was put aside, and keeps only so many of them.
    pub(super) fn tidy(&mut self, keep: usize) {
        let prefix = format!("{}.", self.base().display());
        let mut rotated: Vec<PathBuf> = fs::read_dir(self.folder.path())
            .expect("list")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().starts_with(&prefix))
            .collect();
        rotated.sort();
        let excess = rotated.len().saturating_sub(keep);
        for (index, path) in rotated.into_iter().enumerate() {
            let is_compressed = path.extension().is_some_and(|it| it == "gz");
            if index >= excess {
                if is_compressed {
                    continue;
                }
                let temporary = PathBuf::from(format!("{}.tmp", path.display()));
                let file = File::create(&temporary).expect("create");
                let mut encoder = GzEncoder::new(file, Compression::fast());
                encoder
                    .write_all(&fs::read(&path).expect("read"))
                    .expect("compress");
                encoder.finish().expect("compress");
                #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
                fs::rename(&temporary, format!("{}.gz", path.display())).expect("rename");
            }
            #[expect(clippy::disallowed_methods, reason = "plays the kubelet")]
            fs::remove_file(path).expect("remove");
        }
    }

    /// As the kubelet does it in one go.
    pub(super) fn rotate(&mut self) {
        self.tidy(3);
        self.rename();
        self.reopen();
    }

    pub(super) fn restart(&mut self) {
        self.attempt += 1;
        self.reopen();
    }

    pub(super) fn sources(&self, extent: Extent) -> Sources {
        let source = Source::open(Arc::from("main"), self.folder(), self.attempt, extent);
        let mut sources = Sources::default();
        sources.all.push(source.expect("open the log"));
        sources
    }
}

fn append(path: PathBuf) -> File {
    let mut options = OpenOptions::new();
    options.create(true).append(true).open(path).expect("open")
}

/// All that is there now.
pub(super) fn drain(sources: &mut Sources) -> Result<Vec<ContainerLine>, LogError> {
    let mut lines = Vec::new();
    loop {
        let batch = sources.batch()?;
        if batch.is_empty() && !sources.are_changing_over() {
            return Ok(lines);
        }
        if batch.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        lines.extend(batch);
    }
}

pub(super) fn texts(lines: &[ContainerLine]) -> Vec<&str> {
    lines.iter().map(|it| it.line.text.as_str()).collect()
}

pub(super) const FOLLOW: Extent = Extent {
    tail: None,
    since: None,
    follow: true,
    ended: false,
};

pub(super) const READ: Extent = Extent {
    follow: false,
    ..FOLLOW
};
