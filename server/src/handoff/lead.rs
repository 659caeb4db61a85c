//! To whom new connections to the API server's port go.
//!
//! A joiner is the younger one, and when one of two leaves, the other is alone and gets everything. SPLIT keeps clients
//! with the older one; all go to the younger one only for as long as one looks that it is the right one: an API server
//! that starts anew would else be given everything before it serves.

use std::collections::BTreeSet;

use super::world::{Trouble, Who, World};
use crate::steer::Phase;

/// What was set. The kernel does not tell.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// The port can't be steered.
    pub(super) off: bool,
    phase: Option<Phase>,
    /// Who listened then. The program is gone when all of them are.
    group: BTreeSet<u64>,
}

impl Lead {
    /// Clients to the older one, the newcomer's own connections to itself. Attaches whatever is there already.
    pub(super) fn split(&mut self, world: &impl World, newcomer: &Who) -> Result<(), Trouble> {
        self.set(world, Phase::Split, newcomer)
    }

    /// As [`Self::split`], when it isn't so.
    pub(super) fn keep_split(&mut self, world: &impl World, newcomer: &Who) -> Result<(), Trouble> {
        self.keep(world, Phase::Split, newcomer)
    }

    /// All to this one, whether it is the younger or the older. To be called again and again.
    pub(super) async fn to(&mut self, world: &impl World, who: &Who) -> Result<(), Trouble> {
        if self.off {
            return Ok(());
        }
        let phase = match world.listeners()?.len() {
            0 | 1 => Phase::Split,
            2 if world.is_newcomer(who).await? => Phase::Younger,
            2 => Phase::Split,
            more => {
                self.keep_split(world, who)?;
                return Err(format!(
                    "{more} sockets listen on the API server's port, where there should be two at most"
                ));
            }
        };
        self.keep(world, phase, who)
    }

    /// Whether all go to the younger one now.
    pub(super) fn is_to_younger(&self) -> bool {
        self.phase == Some(Phase::Younger)
    }

    fn keep(&mut self, world: &impl World, phase: Phase, newcomer: &Who) -> Result<(), Trouble> {
        if self.off {
            return Ok(());
        }
        let now = world.listeners()?;
        if self.phase == Some(phase) && !self.group.is_disjoint(&now) {
            self.group = now;
            return Ok(());
        }
        self.set(world, phase, newcomer)
    }

    fn set(&mut self, world: &impl World, phase: Phase, newcomer: &Who) -> Result<(), Trouble> {
        if self.off {
            return Ok(());
        }
        // Unknown, should it fail.
        self.phase = None;
        world.steer(phase, newcomer)?;
        self.phase = Some(phase);
        self.group = world.listeners()?;
        Ok(())
    }
}
