//! To whom new connections to the API server's port go.
//!
//! A joiner is the younger one, and when one of two leaves, the other is alone and gets everything. SPLIT keeps clients
//! with the older one; all go to the younger one only for as long as one looks that it is the right one: an API server
//! that starts anew would else be given everything before it serves.

use super::world::{Trouble, Who, World};
use crate::steer::Phase;

/// Says who gets new connections, unless the port can't be steered.
#[derive(Debug, Default)]
pub(super) struct Lead {
    pub(super) off: bool,
}

impl Lead {
    /// Clients to the older one, the newcomer's own connections to itself. Attaches whatever is there already.
    pub(super) fn split(&self, world: &impl World, newcomer: &Who) -> Result<(), Trouble> {
        if self.off {
            return Ok(());
        }
        world.steer(Phase::Split, newcomer)
    }

    /// As [`Self::split`], when it isn't so.
    pub(super) fn keep_split(&self, world: &impl World, newcomer: &Who) -> Result<(), Trouble> {
        self.keep(world, Phase::Split, newcomer)
    }

    /// All to this one, whether it is the younger or the older. To be called again and again. Tells whether they go to
    /// the younger one now.
    pub(super) async fn to(&self, world: &impl World, who: &Who) -> Result<bool, Trouble> {
        if self.off {
            return Ok(false);
        }
        if world.phase() == Some(Phase::Swapped) {
            // Under that, one would take the older for the newcomer.
            self.split(world, who)?;
        }
        let phase = match world.listeners()? {
            2 if world.is_newcomer(who).await? => Phase::Younger,
            0..=2 => Phase::Split,
            more => {
                self.keep_split(world, who)?;
                return Err(format!(
                    "{more} sockets listen on the API server's port, where there should be two at most"
                ));
            }
        };
        self.keep(world, phase, who)?;
        Ok(phase == Phase::Younger)
    }

    /// This one's own connections to itself, and all others to the younger one, if it is the older of two: so it gets ready
    /// that was not when the younger one came. To be called again and again. Tells whether it is so now.
    pub(super) async fn let_start(&self, world: &impl World, older: &Who) -> Result<bool, Trouble> {
        if self.off {
            return Ok(false);
        }
        // It ends by itself when somebody else comes.
        if world.phase() == Some(Phase::Swapped) && world.listeners()? == 2 {
            return Ok(true);
        }
        self.keep_split(world, older)?;
        if world.listeners()? != 2 || world.is_newcomer(older).await? {
            return Ok(false);
        }
        world.steer(Phase::Swapped, older)?;
        Ok(true)
    }

    fn keep(&self, world: &impl World, phase: Phase, newcomer: &Who) -> Result<(), Trouble> {
        if self.off || world.phase() == Some(phase) {
            return Ok(());
        }
        world.steer(phase, newcomer)
    }
}
