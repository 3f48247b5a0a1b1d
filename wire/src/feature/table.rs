//! The features of BOLT 9, as a table.
//!
//! Features that BOLT 9 calls ASSUMED have no contexts there; here they keep those of its earlier
//! revisions, because peers still set them and hang up on a peer that does not.

/// Where a feature vector stands; letters as in BOLT 9.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Context {
    /// `I`: the `init` message.
    Init,
    /// `N`: `node_announcement`.
    Node,
    /// `C`: `channel_announcement`.
    Channel,
    /// `9`: a BOLT 11 invoice.
    Invoice,
    /// `B`: the `allowed_features` of a blinded path.
    BlindedPath,
    /// `T`: the `channel_type`.
    ChannelType,
}

use Context::{ChannelType as T, Init as I, Invoice as V, Node as N};

macro_rules! features {
    ($( $(#[$doc:meta])* $even:literal $name:ident $bolt:literal [$($context:ident),*] needs [$($needed:ident),*] )*) => {
        /// A feature that has a name, whether or not we offer it. BOLT 9.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Feature { $( $(#[$doc])* $name, )* }

        impl Feature {
            /// All of them, rising.
            pub const ALL: &[Self] = &[$( Self::$name ),*];

            /// The bit that demands it.
            pub const fn even(self) -> u16 {
                match self { $( Self::$name => $even, )* }
            }

            /// The bit that offers it.
            pub const fn odd(self) -> u16 {
                self.even() | 1
            }

            /// Its name in BOLT 9.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$name => $bolt, )* }
            }

            /// Where it may be set, and nowhere else.
            pub const fn contexts(self) -> &'static [Context] {
                match self { $( Self::$name => &[$($context),*], )* }
            }

            /// What must be offered beside it.
            pub const fn dependencies(self) -> &'static [Self] {
                match self { $( Self::$name => &[$(Self::$needed),*], )* }
            }

            /// The feature that has this bit, even or odd.
            pub const fn of_bit(bit: u32) -> Option<Self> {
                match bit & !1 { $( $even => Some(Self::$name), )* _ => None }
            }
        }
    };
}

features! {
    /// ASSUMED.
    0 DataLossProtect "option_data_loss_protect" [I, N] needs []
    /// Commits to a shutdown script when opening a channel.
    4 UpfrontShutdownScript "option_upfront_shutdown_script" [I, N] needs []
    /// Has gossip worth asking for.
    6 GossipQueries "gossip_queries" [I, N] needs []
    /// ASSUMED.
    8 VarOnionOptin "var_onion_optin" [I, N, V] needs []
    /// Gossip queries can ask for more.
    10 GossipQueriesEx "gossip_queries_ex" [I, N] needs []
    /// ASSUMED, except in a channel type.
    12 StaticRemotekey "option_static_remotekey" [I, N, T] needs []
    /// ASSUMED.
    14 PaymentSecret "payment_secret" [I, N, V] needs []
    /// Receives payments in parts.
    16 BasicMpp "basic_mpp" [I, N, V] needs [PaymentSecret]
    /// Opens channels of 2^24 satoshi and more.
    18 LargeChannels "option_support_large_channel" [I, N] needs []
    /// Commitments with anchors and HTLC transactions without fee.
    22 Anchors "option_anchors" [I, N, T] needs []
    /// Understands blinded paths.
    24 RouteBlinding "option_route_blinding" [I, N, V] needs []
    /// Closes to later witness versions.
    26 ShutdownAnysegwit "option_shutdown_anysegwit" [I, N] needs []
    /// Opens channels that both may fund.
    28 DualFund "option_dual_fund" [I, N] needs []
    /// Understands `stfu`.
    34 Quiesce "option_quiesce" [I, N] needs []
    /// Says who held an HTLC for how long.
    36 AttributionData "option_attribution_data" [I, N, V] needs []
    /// Forwards onion messages.
    38 OnionMessages "option_onion_messages" [I, N] needs []
    /// Keeps blobs for peers.
    42 ProvideStorage "option_provide_storage" [I, N] needs []
    /// ASSUMED.
    44 ChannelType "option_channel_type" [I, N] needs []
    /// Gives channels aliases.
    46 ScidAlias "option_scid_alias" [I, N, T] needs []
    /// Hands metadata of an invoice to its payee.
    48 PaymentMetadata "option_payment_metadata" [V] needs []
    /// Uses channels before their funding is confirmed.
    50 Zeroconf "option_zeroconf" [I, N, T] needs [ScidAlias]
    /// Takes payments that bring their preimage along. Not in BOLT 9; LND, LDK and Core Lightning agree on it.
    54 Keysend "keysend" [N] needs []
    /// Closes without haggling.
    60 SimpleClose "option_simple_close" [I, N] needs [ShutdownAnysegwit]
    /// Replaces the funding of a running channel.
    62 Splice "option_splice" [I, N] needs []
}
