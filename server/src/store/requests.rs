//! Requests that were answered before.

use std::{io, sync::Arc};

use seedpod_manifest::BundleName;

use super::{
    CommitError, OpenError, Store,
    commit::Overwrites,
    open,
    record::{self, Fingerprint, RequestRecord, Sidecar},
};
use crate::node::{Bundle, Change, ObjectChange, RequestId, StoredWarning};

/// How many request ids are kept beside a revision that they found active.
const IDS_PER_REVISION: usize = 100;

/// What an earlier request with the same id led to.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) changes: Vec<Change>,
    pub(crate) object_changes: Vec<ObjectChange>,
    pub(crate) warnings: Vec<StoredWarning>,
    /// What a rollback was to; 0 for what was none.
    pub(crate) source_revision: u64,
}

impl Store {
    /// What an earlier request with this id led to.
    pub(crate) fn remembered(&self, id: &str) -> Result<Option<Remembered>, OpenError> {
        let Some((name, revision)) = self.requests.get(id) else {
            return Ok(None);
        };
        let record = match self
            .bundles
            .get(name)
            .and_then(|history| history.active.as_ref())
        {
            Some(active) if active.bundle.revision == *revision => Arc::clone(active),
            _ => Arc::new(open::revision(
                &*self.fs,
                &self.bundles_dir,
                name,
                *revision,
                self.contents.keys(),
            )?),
        };
        if let Some(request) = record.request.as_ref().filter(|request| request.id == id) {
            return Ok(Some(Remembered {
                fingerprint: self.fingerprint(&request.fingerprint),
                bundle: Arc::clone(&record.bundle),
                changes: record.changes.clone(),
                object_changes: record.object_changes.clone(),
                warnings: record.warnings.clone(),
                source_revision: record.came.source_revision,
            }));
        }
        let others = open::requests(&*self.fs, &self.bundles_dir, name, *revision)?;
        Ok(others
            .into_iter()
            .find(|request| request.id == id)
            .map(|request| Remembered {
                fingerprint: self.fingerprint(&request.fingerprint),
                changes: record::unchanged(&record.bundle),
                object_changes: record::unchanged_objects(&record.bundle),
                bundle: Arc::clone(&record.bundle),
                warnings: request.warnings,
                source_revision: request.source_revision,
            }))
    }

    pub(super) fn fingerprint(&self, kept: &str) -> Fingerprint {
        Fingerprint {
            kept: kept.to_owned(),
            key: self.contents.digest_key().clone(),
        }
    }

    /// Remembers that a request found the active revision to be what it demands.
    pub(crate) fn remember(
        &mut self,
        name: &BundleName,
        request: &RequestId,
        warnings: &[StoredWarning],
        source_revision: u64,
    ) -> Result<(), CommitError> {
        let Some(kept) = self
            .bundles
            .get(name)
            .and_then(|history| history.kept.last())
        else {
            return Ok(());
        };
        let revision = kept.revision;
        let read = open::requests(&*self.fs, &self.bundles_dir, name, revision);
        let mut requests = read.map_err(|error| CommitError::Write {
            path: record::sidecar_path(&self.bundles_dir, name, revision, Sidecar::Requests),
            source: io::Error::other(error),
        })?;
        let surplus = (requests.len() + 1).saturating_sub(IDS_PER_REVISION);
        let forgotten: Vec<RequestRecord> = requests.drain(..surplus).collect();
        requests.push(RequestRecord {
            warnings: warnings.to_vec(),
            source_revision,
            ..RequestRecord::new(request, self.contents.digest_key())
        });
        let dir = self.bundles_dir.join(name.as_str());
        let bytes = record::encode_requests(&requests);
        let file = record::sidecar_name(revision, Sidecar::Requests);
        self.write(&dir, &file, bytes.as_bytes(), Overwrites::WhatIsTrueToo)?;

        for request in &forgotten {
            self.requests.remove(&request.id);
        }
        self.requests
            .insert(request.id.clone(), (name.clone(), revision));
        if let Some(kept) = self
            .bundles
            .get_mut(name)
            .and_then(|history| history.kept.last_mut())
        {
            kept.has_requests = true;
            kept.ids
                .retain(|id| !forgotten.iter().any(|request| request.id == *id));
            kept.ids.push(request.id.clone());
        }
        Ok(())
    }
}
