//! Tests that ask more of their chain than Bitcoin Core can do, and why: they keep one that can, whatever the
//! environment wants. Each is a beginning of names.

/// Who needs the built-in chain itself.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("claims::", "no node is there, and thousands of blocks are made in its time"),
    (
        "disputes_cheat::c53",
        "the chain says nothing to those who follow it, and still takes transactions",
    ),
    ("disputes_cheat::c65", "the same"),
    ("disputes::crowd", "the same"),
    ("tower::htlcs::s1_", "the same"),
    ("tower::htlcs::s2_", "the same"),
    (
        "sweeps::again::what_is_evicted",
        "who polls misses what comes and goes between two looks, until the next block",
    ),
    ("sweeps::anchored::a_commitment_that_a_fee_spike", "the same"),
];

/// Who needs a chain whose mempool does as it is told: over RPC, but never Bitcoin Core's own.
pub const OBEDIENT: &[(&str, &str)] = &[
    ("disputes::", "the fee that the mempool asks for is set"),
    ("disputes_cheat::justice_survives", "the mempool forgets a transaction"),
    ("disputes_cheat::c55", "the same"),
    ("nodes::unconfirmed::a_trusted_peer", "the same"),
    ("rubbish::closers", "the same, and the fee that it asks for is set"),
    ("sweeps::", "the same"),
    ("tower::outages::s11_", "the mempool forgets a transaction"),
];

/// Who is always played over one protocol, whatever the environment wants.
pub const ALWAYS: &[(&str, &str)] = &[("over::core::", "bitcoind"), ("over::esplora::", "esplora")];

/// The protocol that a test of this name is always played over, if there is one.
pub fn always(test: &str) -> Option<&'static str> {
    let named = ALWAYS.iter().find(|(name, _)| test.starts_with(name));
    named.map(|(_, over)| *over)
}

/// What a test of this name needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Any chain.
    Any,
    /// One whose mempool does as it is told.
    Obedient,
    /// The built-in chain itself.
    BuiltIn,
}

impl Needs {
    /// What the test of this name needs.
    pub fn of(test: &str) -> Self {
        let listed = |list: &[(&str, &str)]| list.iter().any(|(name, _)| test.starts_with(name));
        if listed(BUILT_IN) {
            Self::BuiltIn
        } else if listed(OBEDIENT) {
            Self::Obedient
        } else {
            Self::Any
        }
    }
}
