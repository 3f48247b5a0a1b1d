//! Every setting, declared once: the documentation, the type, the default and the printed sample all
//! come from this list.

use serde::Deserialize;

/// What kind of value a setting takes; decides how a variable or a flag is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// A whole number, not negative; `_` may group digits.
    Number,
    /// `true` or `false`.
    Switch,
    /// Words with commas between.
    List,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its name within its section.
    pub name: &'static str,
    /// What it means, with its unit, a line each.
    pub docs: &'static [&'static str],
    /// What kind of value it takes.
    pub kind: Kind,
    /// Its default as TOML; empty: unset.
    pub default: &'static str,
}

/// A table of the file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its name; empty for the top of the file.
    pub name: &'static str,
    /// What it is about, a line each.
    pub docs: &'static [&'static str],
    /// Its settings.
    pub settings: &'static [Setting],
}

macro_rules! kind {
    (text) => {
        Kind::Text
    };
    (number) => {
        Kind::Number
    };
    (switch) => {
        Kind::Switch
    };
    (list) => {
        Kind::List
    };
}

macro_rules! typed {
    (text) => { String };
    (number) => { u64 };
    (switch) => { bool };
    (list) => { Vec<String> };
}

macro_rules! settings {
    ($( $(#[doc = $section_doc:literal])+ $field:ident $raw:ident $section:literal {
        $( $(#[doc = $doc:literal])+ $name:ident: $kind:ident = $default:literal, )+
    } )+) => {
        $(
            $(#[doc = $section_doc])+
            #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $raw {
                $( $(#[doc = $doc])+ pub $name: Option<typed!($kind)>, )+
            }
        )+

        /// The settings as they were written, after all layers are laid over each other.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct RawConfig {
            $( $(#[doc = $section_doc])+ pub $field: $raw, )+
        }

        impl RawConfig {
            /// Reads the laid-over sections; each is known to hold known settings only.
            pub(super) fn read(
                mut sections: impl FnMut(&'static str) -> toml::Table,
            ) -> Result<Self, toml::de::Error> {
                Ok(Self { $( $field: sections($section).try_into()?, )+ })
            }
        }

        /// Every section, in the order of the sample file.
        pub const SECTIONS: &[Section] = &[
            $( Section {
                name: $section,
                docs: &[$($section_doc),+],
                settings: &[
                    $( Setting {
                        name: stringify!($name),
                        docs: &[$($doc),+],
                        kind: kind!($kind),
                        default: $default,
                    }, )+
                ],
            }, )+
        ];
    };
}

settings! {
    /// The node as a whole.
    node RawNode "" {
        /// sandbox, regtest, signet, testnet4 or mainnet. On the sandbox nothing can be lost.
        network: text = "\"sandbox\"",
        /// What the node calls itself: at most 32 bytes. Empty: the first digits of its id.
        alias: text = "\"\"",
        /// The file that says how far the journal has come, so that an older copy of it is noticed. Best
        /// on another disk than the data. Empty: beside the directory of the network.
        guard: text = "\"\"",
        /// Where the password of the seed comes from: "file:PATH", "fd:NUMBER", "env" (the variable
        /// VIADUCT_PASSWORD) or "none" (the seed is not encrypted; the default on the sandbox).
        password: text = "",
        /// A second file for the backup of our channels, best on another disk. Its directory must exist.
        /// Unset: only backup/channels.vbk beside the data.
        backup_path: text = "",
    }

    /// Peers.
    p2p RawP2p "p2p" {
        /// Where to take peers: addresses with port. Empty: nowhere. Port 0: any free one.
        listen: list = "[\"127.0.0.1:9735\"]",
        /// Under which names and ports peers reach us from outside, to be shown and announced.
        addresses: list = "[]",
        /// Connections that peers may open to us, at most.
        inbound_max: number = "400",
        /// Connections that are in their handshake at one time, at most.
        handshakes_max: number = "100",
        /// Seconds that gossip of others waits before it is told on. 0: 60, and 1 on the sandbox.
        gossip_flush: number = "0",
    }

    /// The API.
    rpc RawRpc "rpc" {
        /// Where to listen: an address with port. Port 0: any free one.
        listen: text = "\"127.0.0.1:10009\"",
        /// Further names and addresses that the certificate carries.
        tls_names: list = "[]",
    }

    /// Layer 1.
    chain RawChain "chain" {
        /// "builtin": the node runs the chain itself (sandbox only). "http://HOST:PORT": a
        /// viaduct-chain server. "bitcoind=http://HOST:PORT": the JSON-RPC of Bitcoin Core.
        /// "esplora=https://HOST/api": an Esplora server, also in the clear ("esplora=http://...").
        backend: text = "\"builtin\"",
        /// The cookie file of Bitcoin Core. Empty: rpc_user and rpc_password.
        rpc_cookie: text = "\"\"",
        /// Who we are to Bitcoin Core.
        rpc_user: text = "\"\"",
        /// Our password there.
        rpc_password: text = "\"\"",
        /// A PEM file of certificates to trust instead of the system's, for an Esplora server of one's own.
        esplora_ca: text = "\"\"",
        /// How often Bitcoin Core or an Esplora server is asked for news, in milliseconds; an Esplora server under
        /// TLS, which is somebody else's as a rule, every 5000 at most. It may want to be asked less often: 10000 is
        /// as good for channels.
        poll_ms: number = "1_000",
        /// When the built-in chain makes a block: "manual", "on-tx" (as soon as a transaction waits)
        /// or a number of seconds between blocks.
        mine: text = "\"manual\"",
        /// Whether this node may be told to cheat with an old state of a channel (sandbox only), to
        /// see what its peer does about it.
        cheat: switch = "false",
        /// The highest feerate that the node offers of itself, whatever the estimates say, in sat per
        /// 1000 weight.
        feerate_max_sat_per_kw: number = "250_000",
        /// What counts as the fee estimate as long as the backend never had one, in sat per 1000 weight.
        /// Unset: 2500, and 253 on the sandbox.
        feerate_fallback_sat_per_kw: number = "",
    }

    /// What we ask of channels and accept in them.
    channel RawChannel "channel" {
        /// The smallest channel that we take or open, in sat.
        funding_min_sat: number = "20_000",
        /// The largest channel that we take or open, in sat.
        funding_max_sat: number = "1_000_000_000_000",
        /// Confirmations before a channel is used, in blocks. Unset: 3, and 1 on the sandbox.
        depth_min_blocks: number = "",
        /// How long a peer waits for its coins after it forced a close, in blocks.
        to_self_delay_blocks: number = "144",
        /// How long we would wait for ours, at most, in blocks (BOLT 2).
        to_self_delay_max_blocks: number = "2_016",
        /// What a peer must keep on its side, in parts per million of the channel.
        reserve_ppm: number = "10_000",
        /// The least that a peer must keep on its side, in sat.
        reserve_min_sat: number = "1_000",
        /// HTLCs that a peer may have in flight to us, at most (BOLT 2: 483).
        accepted_htlcs_max: number = "483",
        /// What a peer may have in flight to us, in percent of the channel.
        in_flight_max_percent: number = "100",
        /// The smallest HTLC that we take, in msat.
        htlc_minimum_msat: number = "1",
        /// Outputs below this are not made, in sat (BOLT 3).
        dust_limit_sat: number = "354",
        /// What a close may burn because it is below the dust limits, at most, in sat.
        dust_exposure_max_sat: number = "100_000",
        /// The lowest feerate that a funder may set, in sat per 1000 weight.
        feerate_min_sat_per_kw: number = "253",
        /// The highest feerate that a funder may set, in sat per 1000 weight.
        feerate_max_sat_per_kw: number = "100_000",
        /// When channels are closed alone without being asked for: "automatic" (whenever BOLT 2 demands
        /// it), "when-money-at-risk" (only to save more than it costs) or "ask" (never: the channel
        /// stops and says what a close would cost and save). Peers can have a policy of their own.
        force_close: text = "\"automatic\"",
        /// Blocks that an invoice of ours leaves between the last hop and its expiry (BOLT 11).
        min_final_cltv_blocks: number = "42",
    }

    /// Watchtowers (`viaduct tower`).
    towers RawTowers "towers" {
        /// Towers for each channel.
        copies: number = "2",
        /// Revoked states that are read for one tower in a second, at most, when it has to catch up.
        catch_up_states_per_second: number = "500",
        /// When states are with no tower: "ignore", "warn", or "stop_forwarding" (nothing of others goes
        /// over the channel until a tower has caught up).
        on_lag: text = "\"warn\"",
        /// So many states make a lag.
        lag_states: number = "100",
        /// How often a checkpoint goes to towers at most, in seconds: how far every channel is, and the
        /// backup, sealed. A store that is an older copy is told by it. 0 gives them none.
        checkpoint_every_seconds: number = "60",
        /// How often every tower is asked for records that it signed for, in minutes, give or take half of
        /// it; 0 asks none.
        audit_every_minutes: number = "1_440",
    }

    /// Forwarding: what we ask for letting the payments of others pass. A channel can have its own
    /// (`viaduct channels policy`).
    forwarding RawForwarding "forwarding" {
        /// Whether payments of others pass at all.
        enabled: switch = "true",
        /// Flat fee, in msat.
        base_msat: number = "1_000",
        /// Fee for each million forwarded.
        ppm: number = "100",
        /// Blocks between what we are given and what we give, to claim one after the other is lost (BOLT 2).
        cltv_delta_blocks: number = "80",
        /// The least that we forward, in msat.
        htlc_min_msat: number = "1",
        /// The most that we forward in one HTLC, in msat. Unset: whatever the channel can.
        htlc_max_msat: number = "",
        /// HTLCs that one peer may have under way over one channel of ours, in percent of what it carries.
        peer_slots_percent: number = "50",
        /// The same for their value; one HTLC alone may be larger.
        peer_in_flight_percent: number = "50",
        /// Whether every payment of others waits for the word of a program (Forwards.Intercept), also while
        /// none listens.
        intercept: switch = "false",
    }

    /// Payments to us.
    payments RawPayments "payments" {
        /// Whether payments are taken that nobody asked for and that bring their preimage along (keysend). Everybody is
        /// told so.
        keysend: switch = "true",
    }

    /// A watchtower for others inside this node. Its further settings are in tower/tower.toml beside the
    /// data, as those of viaduct-tower.
    tower RawTower "tower" {
        /// Whether this node is one.
        enabled: switch = "false",
        /// Where its clients are heard: an address with port. Port 0: any free one.
        listen: text = "\"127.0.0.1:9911\"",
    }

    /// What is written to standard error.
    log RawLog "log" {
        /// "pretty" for people, "json" for programs. Unset: pretty on a terminal, else json.
        format: text = "",
        /// What is written: error, warn, info, debug or trace, also a list as "info,daemon::peers=debug".
        filter: text = "\"info\"",
    }
}

/// Finds a section by its name.
#[must_use]
pub fn section(name: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.name == name)
}

impl Section {
    /// Finds a setting by its name.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// The variable that sets one of its settings.
    #[must_use]
    pub fn variable(&self, setting: &Setting) -> String {
        let joint = if self.name.is_empty() { "" } else { "_" };
        format!("VIADUCT_{}{joint}{}", self.name, setting.name).to_ascii_uppercase()
    }

    /// How a setting is written with its section: `channel.dust_limit_sat`.
    #[must_use]
    pub fn path(&self, setting: &str) -> String {
        if self.name.is_empty() { setting.to_owned() } else { format!("{}.{setting}", self.name) }
    }
}

/// The commented sample file; reading it gives the defaults.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from(
        "# viaductd settings. Every line shows its default.\n\
         # A flag goes before a variable, that before the table of the network (as in\n\
         # [signet.channel]), that before the general table, that before the default.\n",
    );
    for section in SECTIONS {
        text.push('\n');
        for line in section.docs {
            text.push_str(&format!("#{line}\n"));
        }
        if !section.name.is_empty() {
            text.push_str(&format!("[{}]\n", section.name));
        }
        for setting in section.settings {
            text.push('\n');
            for line in setting.docs {
                text.push_str(&format!("#{line}\n"));
            }
            let default = if setting.default.is_empty() { "" } else { setting.default };
            let unset = if default.is_empty() { "# " } else { "" };
            let line = format!("{unset}{} = {default}", setting.name);
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}
