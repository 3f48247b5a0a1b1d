//! What a channel's task hears, from whom, and what it has in common with every other.

use std::sync::Arc;

use bitcoin::ScriptBuf;
use channel::seal::Flushed;
use channel::{ChainFact, Command, CommandId, Policy};
use tokio::sync::{oneshot, watch};
use wire::units::{BlockHeight, FeeratePerKw};

use crate::archive::Archives;
use crate::backup;
use crate::channels::chaos::Chaos;
use crate::channels::directory::{Directory, Heard};
use crate::channels::registry::Ended;
use crate::edge::{Back, Inbox};
use crate::gossip;
use crate::identity::Identity;
use crate::layer1::{self, Feerates};
use crate::payments::{self, Reply};
use crate::policy::Policies;
use crate::rpc::model::channel::{Channel as View, CloseForecast, CloseOutput};
use crate::sweeper::SweepBook;
use crate::switch;
use crate::tasks::Tasks;
use crate::tower::Revoked;

/// Who gave a command: the top bits of its id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asker {
    /// Nobody waits for the answer.
    Nobody,
    /// The payments task.
    Payments,
    /// The switch.
    Switch,
    /// A user, through this task.
    User,
}

impl Asker {
    const SHIFT: u32 = 62;

    /// The id of this asker's `number`th command.
    pub const fn command(self, number: u64) -> CommandId {
        let who: u64 = match self {
            Self::Nobody => 0,
            Self::Payments => 1,
            Self::Switch => 2,
            Self::User => 3,
        };
        CommandId((who << Self::SHIFT) | (number & !(3 << Self::SHIFT)))
    }

    /// Who gave it.
    pub const fn of(command: CommandId) -> Self {
        match command.0 >> Self::SHIFT {
            1 => Self::Payments,
            2 => Self::Switch,
            3 => Self::User,
            _ => Self::Nobody,
        }
    }
}

/// What Layer 1 says to a channel.
#[derive(Debug)]
pub struct ChainNews {
    /// In order.
    pub facts: Vec<ChainFact>,
    /// Told when all that follows from them is staged.
    pub ack: Option<oneshot::Sender<()>>,
}

/// What a user wants of one channel.
#[derive(Debug)]
pub enum Ask {
    /// See it.
    Show {
        /// Answered at once.
        reply: oneshot::Sender<View>,
    },
    /// Follow it.
    Watch {
        /// Answered at once.
        reply: oneshot::Sender<watch::Receiver<View>>,
    },
    /// What closing it alone would come to.
    Forecast {
        /// Answered at once; `None` if there is nothing to close alone.
        reply: oneshot::Sender<Option<(CloseForecast, Vec<CloseOutput>)>>,
    },
    /// Close it together with the peer.
    Shutdown {
        /// Where our part goes, if not to the wallet.
        script: Option<ScriptBuf>,
        /// What the closing transaction should pay.
        feerate: FeeratePerKw,
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// The journal was proved to be an older copy: into quarantine, unless the peer's numbers fitted.
    Doubt {
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// Leave the quarantine, at the risk of everything in the channel.
    LiftQuarantine {
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// Close it alone.
    ForceClose {
        /// Answered when it is durable.
        reply: Reply<()>,
    },
    /// A tower is to be told of revoked states.
    Revoked {
        /// The first row that is wanted.
        from: u64,
        /// Answered at once; `None` if there is nothing to tell.
        reply: oneshot::Sender<Option<Box<Revoked>>>,
    },
    /// The sandbox steers.
    Chaos(Chaos),
}

/// What every channel of a node has in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Our key, for onions.
    pub us: Arc<Identity>,
    /// What this node tolerates.
    pub policy: Arc<Policy>,
    /// The best chain's height.
    pub height: watch::Receiver<BlockHeight>,
    /// What things cost.
    pub feerates: watch::Receiver<Feerates>,
    /// When channels are closed alone without being told to.
    pub force_close: watch::Receiver<Policies>,
    /// How far every claim on Layer 1 is.
    pub sweeps: watch::Receiver<Arc<SweepBook>>,
    /// What the disk has.
    pub disk: watch::Receiver<Flushed>,
    /// Who runs which channel.
    pub directory: Directory,
    /// Settled HTLCs of all channels.
    pub archives: Archives,
    /// To payments.
    pub payments: Back<payments::FromChannel>,
    /// To the switch.
    pub switch: Back<switch::FromChannel>,
    /// To Layer 1.
    pub layer1: Back<layer1::FromChannel>,
    /// To gossip.
    pub gossip: Back<gossip::FromChannel>,
    /// What is said of our channels.
    pub own_gossip: watch::Receiver<Arc<gossip::OwnGossip>>,
    /// The genesis hash of our chain.
    pub chain: [u8; 32],
    /// To the registry.
    pub ended: Back<Ended>,
    /// To the backup.
    pub backup: Back<backup::FromChannel>,
    /// The tree of tasks.
    pub tasks: Tasks,
}

/// Where a channel hears from.
#[derive(Debug)]
pub struct Inboxes {
    /// The peer.
    pub messages: Inbox<Heard>,
    /// Payments, the switch, the wallet.
    pub commands: Inbox<Vec<Command>>,
    /// Users.
    pub asks: Inbox<Ask>,
    /// Layer 1.
    pub chain: Inbox<ChainNews>,
}
