//! The three tokens that a daemon writes at its first start, and which calls each allows.
//!
//! A new method is in no list, so only admin may call it until somebody thinks about it.

/// A ready-made set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Every call.
    Admin,
    /// Calls that change nothing.
    ReadOnly,
    /// Making invoices and seeing whether they are paid.
    Invoice,
}

const READS: &[&str] = &[
    "/viaduct.v1.Node/Info",
    "/viaduct.v1.Node/Health",
    "/viaduct.v1.Node/ListPeers",
    "/viaduct.v1.Wallet/Balance",
    "/viaduct.v1.Wallet/ListTransactions",
    "/viaduct.v1.Wallet/ListUnspent",
    "/viaduct.v1.Channels/List",
    "/viaduct.v1.Channels/Get",
    "/viaduct.v1.Channels/ListClosed",
    "/viaduct.v1.Payments/Watch",
    "/viaduct.v1.Payments/Get",
    "/viaduct.v1.Payments/List",
    "/viaduct.v1.Invoices/Get",
    "/viaduct.v1.Invoices/List",
    "/viaduct.v1.Invoices/Watch",
    "/viaduct.v1.Invoices/Decode",
    "/viaduct.v1.Forwards/List",
    "/viaduct.v1.Forwards/GetPolicy",
    "/viaduct.v1.Graph/Info",
    "/viaduct.v1.Graph/ListNodes",
    "/viaduct.v1.Graph/ListChannels",
    "/viaduct.v1.Graph/GetNode",
    "/viaduct.v1.Graph/GetChannel",
    "/viaduct.v1.Graph/Snapshot",
    "/viaduct.v1.Graph/FindRoute",
    "/viaduct.v1.Graph/ExportScores",
    "/viaduct.v1.Events/Subscribe",
    "/viaduct.v1.Why/Channel",
    "/viaduct.v1.Why/Payment",
    "/viaduct.v1.Sandbox/Status",
    "/viaduct.v1.Backup/Show",
    "/viaduct.v1.Backup/Export",
    "/viaduct.v1.Backup/Verify",
    "/viaduct.v1.Tower/GetInfo",
    "/viaduct.v1.Tower/ListSessions",
    "/viaduct.v1.Tower/ListClaims",
    "/viaduct.v1.Tower/SelfTest",
    "/viaduct.v1.Tower/WatchEvents",
    "/viaduct.v1.Tower/Balance",
    "/viaduct.v1.Towers/Overview",
    "/viaduct.v1.Towers/Coverage",
    "/viaduct.v1.Towers/Prove",
];

const INVOICE: &[&str] = &[
    "/viaduct.v1.Node/Info",
    "/viaduct.v1.Invoices/Create",
    "/viaduct.v1.Invoices/Get",
    "/viaduct.v1.Invoices/List",
    "/viaduct.v1.Invoices/Settle",
    "/viaduct.v1.Invoices/Cancel",
    "/viaduct.v1.Invoices/Watch",
    "/viaduct.v1.Invoices/Decode",
];

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::ReadOnly, Self::Invoice];

    /// Its name, as in the caveat and in the file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::ReadOnly => "readonly",
            Self::Invoice => "invoice",
        }
    }

    /// The file it is written to, in the daemon's directory of the network.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Admin => "admin.macaroon",
            Self::ReadOnly => "readonly.macaroon",
            Self::Invoice => "invoice.macaroon",
        }
    }

    /// The role with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether it may call a gRPC path.
    pub fn allows(self, method: &str) -> bool {
        match self {
            Self::Admin => true,
            Self::ReadOnly => READS.contains(&method),
            Self::Invoice => INVOICE.contains(&method),
        }
    }
}

/// Whether a gRPC path needs no token: reflection tells only what is public, and health only whether the
/// daemon serves.
pub fn is_open(method: &str) -> bool {
    method.starts_with("/grpc.reflection.") || method.starts_with("/grpc.health.")
}
