//! What the actor does about the node's handoff. Which record comes next, others say.

use std::{fmt::Write as _, io, sync::Arc};

use jiff::Timestamp;

use super::Actor;
use crate::{
    events::{EventKind, NewEvent},
    handoff::{Material, Moment, Reason, Record, Spec, Stage, Step, event},
    node::{
        AbortHandoffError, AdvanceError, ChangeError, RequestId, StartHandoffError, State, handoff,
    },
    store::{CommitError, random_id},
};

impl Actor {
    pub(super) fn start_handoff(
        &mut self,
        spec: Spec,
        material: &Material,
        request: Option<&RequestId>,
        client: &str,
    ) -> Result<Arc<Record>, StartHandoffError> {
        if let Some(request) = request
            && let Some(record) = self.replay_handoff(request)?
        {
            return Ok(record);
        }
        let state = Arc::clone(&self.publish_state.borrow());
        handoff::admit(&state, self.has_runtime, &spec)?;
        let now = Timestamp::now();
        let record = Record {
            id: random_id().map_err(ChangeError::Disk)?,
            generation: 1,
            stage: Stage::Applying,
            start_time: now,
            steps: vec![Step {
                stage: Stage::Applying,
                start_time: now,
                message: String::new(),
            }],
            since: self.clock.now(),
            deadline: Some(self.clock.now().after(spec.deadlines.apply)),
            failure: None,
            withheld: [].into(),
            created: Vec::new(),
            steering: None,
            resumptions: 0,
            spec,
        };
        let committed = self.store.start_handoff(record, material, request);
        let record = self.note(committed)?;
        self.publish();
        let mut message = format!("handoff {} has begun:", record.id);
        for (index, component) in record.spec.components.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(message, "{comma} {}", component.injected);
        }
        self.record_handoff(EventKind::HandoffStarted, &record, message, client);
        Ok(record)
    }

    /// The handoff that this request began.
    pub(super) fn replay_handoff(
        &self,
        request: &RequestId,
    ) -> Result<Option<Arc<Record>>, StartHandoffError> {
        let reused = || StartHandoffError::RequestIdReused {
            id: request.id.clone(),
        };
        if let Some((fingerprint, record)) = self.store.remembered_handoff(&request.id) {
            let same = fingerprint.is(&request.fingerprint);
            return if same {
                Ok(Some(record))
            } else {
                Err(reused())
            };
        }
        let remembered = self.store.remembered(&request.id);
        match remembered.map_err(|error| ChangeError::Disk(io::Error::other(error)))? {
            Some(_) => Err(reused()),
            None => Ok(None),
        }
    }

    pub(super) fn abort_handoff(
        &mut self,
        id: Option<&str>,
        client: &str,
    ) -> Result<Arc<Record>, AbortHandoffError> {
        let state = Arc::clone(&self.publish_state.borrow());
        let found = state.handoff.as_ref();
        let found = found.filter(|record| id.is_none_or(|id| id == record.id));
        let Some(record) = found else {
            let id = id.map(str::to_owned);
            return Err(AbortHandoffError::NotFound { id });
        };
        match record.stage {
            Stage::Reverting | Stage::Reverted => return Ok(Arc::clone(record)),
            stage if stage.is_under_way() => {}
            _ => return Err(AbortHandoffError::HandedOver(Arc::clone(record))),
        }
        let now = Moment {
            boot: self.clock.now(),
            time: Timestamp::now(),
        };
        let message = "the handoff was aborted by a call of AbortHandoff";
        let next = record.failed(Reason::Aborted, message, &now);
        let committed = self.store.advance_handoff(next);
        let next = self.note(committed)?;
        self.publish();
        let message = format!("handoff {} was aborted and takes its way back", next.id);
        self.record_handoff(EventKind::HandoffFailed, &next, message, client);
        Ok(next)
    }

    pub(super) fn advance_handoff(&mut self, next: Record) -> Result<Arc<Record>, AdvanceError> {
        let state: Arc<State> = Arc::clone(&self.publish_state.borrow());
        let record = state.handoff.as_ref();
        let record = record.filter(|record| record.id == next.id && record.spec == next.spec);
        let record = record.ok_or(AdvanceError::Gone)?;
        if next.generation != record.generation + 1 {
            return Err(AdvanceError::Stale(Arc::clone(record)));
        }
        let before = Arc::clone(record);
        let committed = self.store.advance_handoff(next);
        let next = self.note(committed)?;
        self.publish();
        if let Some((kind, message)) = event(&before, &next) {
            self.record_handoff(kind, &next, message, "");
        }
        Ok(next)
    }

    pub(super) fn forget_handoff(&mut self) -> Result<(), ChangeError> {
        let forgotten: Result<(), CommitError> = self.store.forget_handoff();
        self.note(forgotten)?;
        self.publish();
        Ok(())
    }

    fn record_handoff(&self, kind: EventKind, record: &Record, message: String, client: &str) {
        let name = &record.spec.bundle;
        let state = self.publish_state.borrow();
        let revision = state.newest_revision(name).unwrap_or_default();
        let event = NewEvent::of_bundle(kind, name, revision, message);
        self.events.record(event.by(client));
    }
}
