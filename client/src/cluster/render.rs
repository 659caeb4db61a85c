//! From a configuration to a folder with everything that follows from it.

mod addons;
mod error;
mod inventory;
mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

pub use error::{RenderError, UnfitFile};

use super::{
    AdmittedKubelet, Kubeconfigs, Loaded, Pki, bundles, objects,
    pki::{self, Made},
};
use inventory::Inventory;
use write::Writer;

/// Texts by their path within a folder, such as `10-etcd.yaml` or `secrets/ca.crt`.
pub type Files = BTreeMap<String, Zeroizing<String>>;

/// What [`render`] has made of a configuration.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The folder that was written.
    pub directory: PathBuf,
    /// What is below `pki`.
    pub pki: Pki,
    /// What is below `kubeconfigs`, and those that are within bundles and objects.
    pub kubeconfigs: Kubeconfigs,
    /// The bundles to inject, below `bundles/NODE`, etcd's before those of the control plane.
    pub bundles: Vec<RenderedBundle>,
    /// The objects to apply as soon as the API answers, in order.
    pub bootstrap: Vec<PathBuf>,
    /// The objects of the self-hosted control plane, which the handoff applies, in order.
    pub self_hosted: Vec<PathBuf>,
    /// The user's own manifests, copied, in order.
    pub addons: Vec<PathBuf>,
    /// How each node of the control plane hands over, in the order of the configuration.
    pub handoff: Vec<NodeHandoff>,
    /// What has become of each file, by its path within the folder.
    pub written: BTreeMap<String, Written>,
    /// What is allowed, but seldom meant: in the configuration, and in what was there.
    pub warnings: Vec<String>,
}

/// A bundle of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedBundle {
    /// The node.
    pub node: String,
    /// The bundle's name.
    pub bundle: String,
    /// The folder with its `seedpod.yaml`.
    pub folder: PathBuf,
}

/// How a node hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHandoff {
    /// The node.
    pub node: String,
    /// The bundle that gives way.
    pub bundle: String,
    /// The pods that give way, and to which others.
    pub components: Vec<HandoffComponent>,
    /// The labels by which the node's own pods come to it.
    pub node_labels: BTreeMap<String, String>,
}

/// One program of the control plane in its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffComponent {
    /// How it is handed over.
    pub kind: HandoffKind,
    /// The injected pod's namespace.
    pub injected_namespace: String,
    /// The injected pod's name.
    pub injected_pod: String,
    /// The self-hosted pods' namespace.
    pub namespace: String,
    /// The self-hosted pods' labels.
    pub selector: BTreeMap<String, String>,
}

/// How a program is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoffKind {
    /// Both forms serve on this port.
    ApiServer {
        /// The port.
        port: u16,
    },
    /// Works while it holds a lease.
    LeaderElected {
        /// The lease, in kube-system.
        lease: String,
    },
}

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// It was not there.
    Made,
    /// It is as it was.
    Kept,
    /// It was there with another content.
    Changed,
    /// A file of an earlier rendering that no longer follows from the configuration.
    Removed,
}

/// A file of the folder.
pub(super) struct NewFile {
    /// Within the folder.
    pub(super) path: String,
    pub(super) text: Zeroizing<String>,
    /// Whether it was there.
    pub(super) written: Written,
}

/// Writes what follows from the configuration into the folder, and touches no node. What is in `pki` there is kept,
/// so that a second time makes no change.
///
/// Nothing is written unless everything fits. When it is stopped on the way, a second time completes it.
///
/// # Errors
/// [`RenderError`], which names the file and the remedy.
pub fn render(loaded: &Loaded, directory: &Path) -> Result<Rendered, RenderError> {
    let writer = Writer::open(directory)?;
    let inventory = Inventory::read(directory, &loaded.configuration.name)?;
    let Made {
        pki,
        files: pki_files,
        warnings,
    } = pki::load_or_make(loaded, directory)?;
    let kubeconfigs = Kubeconfigs::new(loaded, &pki);
    let mut rendered = Rendered {
        directory: directory.to_owned(),
        bundles: Vec::new(),
        bootstrap: Vec::new(),
        self_hosted: Vec::new(),
        addons: Vec::new(),
        handoff: loaded
            .control_plane()
            .map(|node| bundles::handoff(loaded, node))
            .collect(),
        written: BTreeMap::new(),
        warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        pki,
        kubeconfigs,
    };
    rendered.warnings.extend(warnings);
    let files = rendered.files(loaded)?;

    let announced = inventory.announce(&writer, loaded, &files)?;
    for file in pki_files {
        let written = writer.keep_or_make(&file)?;
        rendered.written.insert(file.path, written);
    }
    for (path, text) in &files {
        let written = writer.write(path, text)?;
        rendered.written.insert(path.clone(), written);
    }
    for path in inventory.stale(&files) {
        if writer.remove(path)? {
            rendered.written.insert(path.clone(), Written::Removed);
        }
    }
    let record = inventory::record(loaded, &files);
    let written = writer.write(inventory::FILE, &record)?;
    let written = announced.unwrap_or(written);
    rendered.written.insert(inventory::FILE.to_owned(), written);
    Ok(rendered)
}

impl Rendered {
    /// Everything but `pki`, whose place in the folder is noted.
    fn files(&mut self, loaded: &Loaded) -> Result<Files, RenderError> {
        let mut files = Files::new();
        self.kubeconfigs(loaded, &mut files);
        for node in &loaded.configuration.nodes {
            let mut found = Vec::new();
            if node.etcd == Some(true) {
                let bundle = bundles::etcd_bundle(loaded, &self.pki, node)?;
                found.push((bundles::ETCD_BUNDLE, bundle));
            }
            if node.control_plane {
                let (pki, kubeconfigs) = (&self.pki, &self.kubeconfigs);
                let bundle = bundles::control_plane_bundle(loaded, pki, kubeconfigs, node)?;
                found.push((bundles::CONTROL_PLANE_BUNDLE, bundle));
            }
            for (bundle, content) in found {
                let folder = format!("bundles/{}/{bundle}", node.name);
                self.bundles.push(RenderedBundle {
                    node: node.name.clone(),
                    bundle: bundle.to_owned(),
                    folder: self.directory.join(&folder),
                });
                place(&folder, content, &mut files);
            }
        }
        // All members first: an API server needs most of them.
        (self.bundles).sort_by_key(|bundle| bundle.bundle != bundles::ETCD_BUNDLE);

        let bootstrap = objects::bootstrap(loaded, &self.pki)?;
        let self_hosted = objects::self_hosted(loaded, &self.pki, &self.kubeconfigs)?;
        let addons = addons::read(loaded, &mut self.warnings)?;
        for (folder, content, paths) in [
            ("bootstrap", bootstrap, &mut self.bootstrap),
            ("self-hosted", self_hosted, &mut self.self_hosted),
            ("addons", addons, &mut self.addons),
        ] {
            let names = content.keys();
            paths.extend(names.map(|name| self.directory.join(folder).join(name)));
            place(folder, content, &mut files);
        }
        Ok(files)
    }

    fn kubeconfigs(&self, loaded: &Loaded, files: &mut Files) {
        let Kubeconfigs {
            admin,
            handoff,
            // Those of the control plane's programs are in its bundles and objects.
            controller_manager: _,
            scheduler: _,
            kubelets,
        } = &self.kubeconfigs;
        let mut put = |name: &str, text: &Zeroizing<String>| {
            files.insert(format!("kubeconfigs/{name}.kubeconfig"), text.clone());
        };
        put("admin", admin);
        put("handoff", handoff);
        let kubelet = match loaded.configuration.kubelet.admission {
            AdmittedKubelet::Certificate => "kubelet",
            AdmittedKubelet::BootstrapToken => "bootstrap-kubelet",
        };
        for (node, text) in kubelets {
            put(&format!("{kubelet}-{node}"), text);
        }
    }
}

fn place(folder: &str, content: Files, files: &mut Files) {
    let content = content.into_iter();
    files.extend(content.map(|(name, text)| (format!("{folder}/{name}"), text)));
}
