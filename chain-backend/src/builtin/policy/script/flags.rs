//! Which rules scripts are run under.

/// A set of rules, by Bitcoin Core's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const P2SH: Self = Self(1);
    pub(crate) const STRICT_ENC: Self = Self(1 << 1);
    pub(crate) const DER_SIG: Self = Self(1 << 2);
    pub(crate) const LOW_S: Self = Self(1 << 3);
    pub(crate) const NULL_DUMMY: Self = Self(1 << 4);
    pub(crate) const SIG_PUSH_ONLY: Self = Self(1 << 5);
    pub(crate) const MINIMAL_DATA: Self = Self(1 << 6);
    pub(crate) const DISCOURAGE_NOPS: Self = Self(1 << 7);
    pub(crate) const CLEAN_STACK: Self = Self(1 << 8);
    pub(crate) const CLTV: Self = Self(1 << 9);
    pub(crate) const CSV: Self = Self(1 << 10);
    pub(crate) const WITNESS: Self = Self(1 << 11);
    pub(crate) const DISCOURAGE_PROGRAM: Self = Self(1 << 12);
    pub(crate) const MINIMAL_IF: Self = Self(1 << 13);
    pub(crate) const NULL_FAIL: Self = Self(1 << 14);
    pub(crate) const WITNESS_PUBKEY_TYPE: Self = Self(1 << 15);
    pub(crate) const CONST_SCRIPT_CODE: Self = Self(1 << 16);
    pub(crate) const TAPROOT: Self = Self(1 << 17);
    pub(crate) const DISCOURAGE_TAPROOT_VERSION: Self = Self(1 << 18);
    pub(crate) const DISCOURAGE_OP_SUCCESS: Self = Self(1 << 19);
    pub(crate) const DISCOURAGE_PUBKEY_TYPE: Self = Self(1 << 20);

    /// What a block must keep.
    pub(crate) const CONSENSUS: Self = Self::NONE
        .and(Self::P2SH)
        .and(Self::DER_SIG)
        .and(Self::NULL_DUMMY)
        .and(Self::CLTV)
        .and(Self::CSV)
        .and(Self::WITNESS)
        .and(Self::TAPROOT);

    /// What is relayed.
    pub(crate) const STANDARD: Self = Self::CONSENSUS
        .and(Self::STRICT_ENC)
        .and(Self::LOW_S)
        .and(Self::MINIMAL_DATA)
        .and(Self::DISCOURAGE_NOPS)
        .and(Self::CLEAN_STACK)
        .and(Self::DISCOURAGE_PROGRAM)
        .and(Self::MINIMAL_IF)
        .and(Self::NULL_FAIL)
        .and(Self::WITNESS_PUBKEY_TYPE)
        .and(Self::CONST_SCRIPT_CODE)
        .and(Self::DISCOURAGE_TAPROOT_VERSION)
        .and(Self::DISCOURAGE_OP_SUCCESS)
        .and(Self::DISCOURAGE_PUBKEY_TYPE);

    /// Both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one is among them.
    pub(crate) const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}

#[cfg(test)]
impl Flags {
    /// Those that are not among `others`.
    pub(crate) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Without those that make no sense alone: clean stacks need P2SH and witnesses, witnesses need P2SH.
    pub(crate) const fn whole(self) -> Self {
        let clean = Self::CLEAN_STACK.and(Self::WITNESS).and(Self::TAPROOT);
        if !self.has(Self::P2SH) {
            self.without(clean)
        } else if !self.has(Self::WITNESS) {
            self.without(Self::CLEAN_STACK.and(Self::TAPROOT))
        } else {
            self
        }
    }
}
