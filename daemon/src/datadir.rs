//! Where everything lies on disk.
//!
//! ```text
//! ~/.viaduct/                 --dir, VIADUCT_DIR
//!   viaduct.toml              settings
//!   tls.cert  tls.key         the API's certificate
//!   <network>/                0700; one process at a time (the store locks it)
//!     viaductd.sock           the API for this user, without token
//!     seed.enc                the seed, 0600
//!     *.macaroon              tokens
//!     db/                     journal, snapshots, index, archive
//!     backup/channels.vbk     the encrypted backup of our channels
//!     backup/peers/           what we keep for peers
//!     chain/                  the built-in chain, where we run it
//!   <network>.guard           how far the journal has come; guard in the settings
//! ```

use std::path::{Path, PathBuf};

use api::auth::Role;

use crate::config::Network;

/// The directory of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
    network: Network,
}

impl DataDir {
    /// The part for one network of a root directory.
    #[must_use]
    pub const fn new(root: PathBuf, network: Network) -> Self {
        Self { root, network }
    }

    /// Where the root is when nobody says: `~/.viaduct`. `None` without a home.
    #[must_use]
    pub fn home() -> Option<PathBuf> {
        std::env::home_dir().map(|home| home.join(".viaduct"))
    }

    /// The settings file under a root.
    #[must_use]
    pub fn settings(root: &Path) -> PathBuf {
        root.join("viaduct.toml")
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The part for the network: everything below is in it.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        self.root.join(self.network.name())
    }

    /// The encrypted seed.
    #[must_use]
    pub fn seed(&self) -> PathBuf {
        self.network().join("seed.enc")
    }

    /// How old the seed is: [`crate::seed::birth::Birth`].
    #[must_use]
    pub fn birth(&self) -> PathBuf {
        self.network().join("birth")
    }

    /// Journal, snapshots, index.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.network().join("db")
    }

    /// The backup of our channels, and what we keep for peers.
    #[must_use]
    pub fn backup(&self) -> PathBuf {
        self.network().join("backup")
    }

    /// What is known of the network; peers can tell it again.
    #[must_use]
    pub fn gossip(&self) -> PathBuf {
        self.network().join("gossip")
    }

    /// What payments taught of others' channels; it can be learnt again.
    #[must_use]
    pub fn scores(&self) -> PathBuf {
        self.network().join("scores")
    }

    /// Settled HTLCs of every channel.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.store().join("archive")
    }

    /// What convicts towers that broke their word, a file each.
    #[must_use]
    pub fn tower_proofs(&self) -> PathBuf {
        self.network().join("tower-proofs")
    }

    /// Says that the store was restored: [`crate::guard::mark_restored`].
    #[must_use]
    pub fn restored(&self) -> PathBuf {
        self.network().join("store-was-restored")
    }

    /// The built-in chain.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.network().join("chain")
    }

    /// The certificate of the API.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.root.join("tls.cert")
    }

    /// Its key.
    #[must_use]
    pub fn certificate_key(&self) -> PathBuf {
        self.root.join("tls.key")
    }

    /// The token of a role.
    #[must_use]
    pub fn token(&self, role: Role) -> PathBuf {
        self.network().join(role.file_name())
    }

    /// The socket on which the API needs no token.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.network().join("viaductd.sock")
    }

    /// Stands for the typed confirmation that real money is at stake.
    #[must_use]
    pub fn confirmed(&self) -> PathBuf {
        self.network().join("real-money-confirmed")
    }
}
