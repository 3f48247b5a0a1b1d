//! Why a transaction or a block is refused, each with Bitcoin Core's word for it.

use thiserror::Error;

/// A broken rule. `Display` is the word Bitcoin Core uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reject {
    // Transactions, context free (consensus).
    /// No inputs.
    #[error("bad-txns-vin-empty")]
    VinEmpty,
    /// No outputs.
    #[error("bad-txns-vout-empty")]
    VoutEmpty,
    /// Larger than a block without its witnesses.
    #[error("bad-txns-oversize")]
    Oversize,
    /// An output below zero.
    #[error("bad-txns-vout-negative")]
    VoutNegative,
    /// An output above 21 million bitcoin.
    #[error("bad-txns-vout-toolarge")]
    VoutTooLarge,
    /// Outputs that add up to more than 21 million bitcoin.
    #[error("bad-txns-txouttotal-toolarge")]
    TxOutTotalTooLarge,
    /// The same coin twice.
    #[error("bad-txns-inputs-duplicate")]
    InputsDuplicate,
    /// A coinbase script shorter than 2 or longer than 100 bytes.
    #[error("bad-cb-length")]
    CoinbaseLength,
    /// An input that names no coin.
    #[error("bad-txns-prevout-null")]
    PrevoutNull,

    // Transactions in their context (consensus).
    /// A coin that is not there.
    #[error("bad-txns-inputs-missingorspent")]
    InputsMissingOrSpent,
    /// A coinbase spent before 100 blocks.
    #[error("bad-txns-premature-spend-of-coinbase")]
    PrematureCoinbaseSpend,
    /// Inputs outside the range of money.
    #[error("bad-txns-inputvalues-outofrange")]
    InputValuesOutOfRange,
    /// Outputs above inputs.
    #[error("bad-txns-in-belowout")]
    InBelowOut,
    /// A fee outside the range of money.
    #[error("bad-txns-fee-outofrange")]
    FeeOutOfRange,
    /// All fees of a block together outside the range of money.
    #[error("bad-txns-accumulated-fee-outofrange")]
    AccumulatedFeeOutOfRange,
    /// In a block, a lock that is not open (BIP 68, BIP 113).
    #[error("bad-txns-nonfinal")]
    BlockNonFinal,
    /// In a block, a script that fails.
    #[error("block-script-verify-flag-failed ({0})")]
    BlockScript(ScriptFault),

    // Blocks (consensus).
    /// Too little proof of work.
    #[error("high-hash")]
    HighHash,
    /// The block before it is unknown.
    #[error("prev-blk-not-found")]
    PrevBlockNotFound,
    /// The block before it is invalid.
    #[error("bad-prevblk")]
    BadPrevBlock,
    /// Already known, and valid as far as known.
    #[error("duplicate")]
    Duplicate,
    /// Already known to be invalid.
    #[error("duplicate-invalid")]
    DuplicateInvalid,
    /// A difficulty other than the rules demand.
    #[error("bad-diffbits")]
    BadDiffBits,
    /// Not later than the median of the eleven blocks before.
    #[error("time-too-old")]
    TimeTooOld,
    /// More than two hours ahead of now.
    #[error("time-too-new")]
    TimeTooNew,
    /// A block version that later rules retired.
    #[error("bad-version(0x{0:08x})")]
    BadVersion(i32),
    /// The header commits to other transactions.
    #[error("bad-txnmrklroot")]
    BadMerkleRoot,
    /// A transaction list repeated in a way that keeps the merkle root (CVE-2012-2459).
    #[error("bad-txns-duplicate")]
    MerkleDuplicate,
    /// No transactions, or larger than a block may be without witnesses.
    #[error("bad-blk-length")]
    BlockLength,
    /// Nothing in the block opens the signet's challenge (BIP 325).
    #[error("bad-signet-blksig")]
    SignetSignature,
    /// The first transaction is no coinbase.
    #[error("bad-cb-missing")]
    CoinbaseMissing,
    /// More than one coinbase.
    #[error("bad-cb-multiple")]
    CoinbaseMultiple,
    /// More signature operations than a block may have.
    #[error("bad-blk-sigops")]
    BlockSigops,
    /// The coinbase does not begin with its height (BIP 34).
    #[error("bad-cb-height")]
    CoinbaseHeight,
    /// The coinbase's witness is not one value of 32 bytes.
    #[error("bad-witness-nonce-size")]
    WitnessNonceSize,
    /// The coinbase commits to other witnesses.
    #[error("bad-witness-merkle-match")]
    WitnessMerkleMatch,
    /// Witnesses in a block that commits to none.
    #[error("unexpected-witness")]
    UnexpectedWitness,
    /// Heavier than 4 000 000 weight units.
    #[error("bad-blk-weight")]
    BlockWeight,
    /// A coinbase that pays more than subsidy and fees.
    #[error("bad-cb-amount")]
    CoinbaseAmount,

    // Mempool: standardness (policy).
    /// A coinbase outside a block.
    #[error("coinbase")]
    Coinbase,
    /// A transaction version that is not 1, 2 or 3.
    #[error("version")]
    Version,
    /// Heavier than 400 000 weight units.
    #[error("tx-size")]
    TxSize,
    /// Fewer than 65 bytes without witness.
    #[error("tx-size-small")]
    TxSizeSmall,
    /// A script signature longer than 1650 bytes.
    #[error("scriptsig-size")]
    ScriptSigSize,
    /// A script signature that does more than push.
    #[error("scriptsig-not-pushonly")]
    ScriptSigNotPushOnly,
    /// An output script of no known kind.
    #[error("scriptpubkey")]
    ScriptPubKey,
    /// An output too small to be worth spending.
    #[error("dust")]
    Dust,
    /// Data outputs that are too long together.
    #[error("datacarrier")]
    DataCarrier,
    /// More than one data output.
    #[error("multi-op-return")]
    MultiOpReturn,
    /// Spends an output of no known kind.
    #[error("bad-txns-nonstandard-inputs")]
    NonstandardInputs,
    /// A witness of a shape that is not relayed.
    #[error("bad-witness-nonstandard")]
    NonstandardWitness,
    /// More signature operations than are relayed.
    #[error("bad-txns-too-many-sigops")]
    TooManySigops,
    /// A script that fails, under consensus rules or under the stricter ones of relay.
    #[error("mempool-script-verify-flag-failed ({0})")]
    MempoolScript(ScriptFault),

    // Mempool: time, place, price (policy).
    /// The lock time is not reached (BIP 113).
    #[error("non-final")]
    NonFinal,
    /// A relative lock is not open (BIP 68).
    #[error("non-BIP68-final")]
    NonBip68Final,
    /// Already there.
    #[error("txn-already-in-mempool")]
    AlreadyInMempool,
    /// Already there with another witness.
    #[error("txn-same-nonwitness-data-in-mempool")]
    SameNonWitnessDataInMempool,
    /// Already in a block.
    #[error("txn-already-known")]
    AlreadyKnown,
    /// Below what this mempool takes when empty.
    #[error("min relay fee not met")]
    MinRelayFee,
    /// Below what this mempool takes now.
    #[error("mempool min fee not met")]
    MempoolMinFee,
    /// Above what the caller allowed.
    #[error("max-fee-exceeded")]
    MaxFeeExceeded,
    /// A replacement that pays too little.
    #[error("insufficient fee")]
    InsufficientFee,
    /// A replacement that would throw out more than 100 transactions.
    #[error("too many potential replacements")]
    TooManyReplacements,
    /// A replacement that spends an unconfirmed coin the original did not.
    #[error("replacement-adds-unconfirmed")]
    ReplacementAddsUnconfirmed,
    /// A version 3 child that pays too little to throw out its parent's other child.
    #[error("insufficient fee (including sibling eviction)")]
    InsufficientFeeForSibling,
    /// A version 3 child that would throw out more than 100 transactions with its parent's other child.
    #[error("too many potential replacements (including sibling eviction)")]
    TooManyReplacementsForSibling,
    /// A version 3 child that spends an unconfirmed coin its parent's other child did not.
    #[error("replacement-adds-unconfirmed (including sibling eviction)")]
    AddsUnconfirmedForSibling,
    /// A replacement that leaves miners worse off at some block size.
    #[error("replacement-failed")]
    ReplacementFailed,
    /// Spends an output of a transaction it conflicts with.
    #[error("bad-txns-spends-conflicting-tx")]
    SpendsConflicting,
    /// Too many ancestors or descendants in the mempool.
    #[error("too-long-mempool-chain")]
    TooLongChain,
    /// Too many transactions in the mempool hang together.
    #[error("too-large-cluster")]
    TooLargeCluster,
    /// Breaks the rules of version 3 (BIP 431).
    #[error("TRUC-violation")]
    Truc,
    /// Leaves its unconfirmed parent's dust unspent.
    #[error("missing-ephemeral-spends")]
    MissingEphemeralSpends,
    /// Thrown out at once because the mempool is full of better ones.
    #[error("mempool full")]
    MempoolFull,

    // Packages (policy).
    /// One of the package stays outside; its own word says why.
    #[error("transaction failed")]
    TransactionFailed,
    /// One of the package leaves its parent's dust unspent.
    #[error("unspent-dust")]
    UnspentDust,
    /// With the package too many in the mempool would stand on each other.
    #[error("package-mempool-limits")]
    PackageLimits,
    /// The package may not replace what it conflicts with.
    #[error("package RBF failed: {0}")]
    PackageRbf(PackageRbf),
}

impl Reject {
    /// Whether what is refused alone may come in with a child that pays for it.
    pub(crate) const fn may_change_in_package(self) -> bool {
        matches!(self, Self::InputsMissingOrSpent) || self.is_about_fees()
    }

    /// Whether paying more would help.
    pub(crate) const fn is_about_fees(self) -> bool {
        matches!(
            self,
            Self::MinRelayFee
                | Self::MempoolMinFee
                | Self::MempoolFull
                | Self::InsufficientFee
                | Self::InsufficientFeeForSibling
                | Self::ReplacementFailed
        )
    }

    /// The word for the same where a version 3 child throws out its parent's other child.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other words are the same")]
    pub(crate) const fn of_sibling(self, evicts_sibling: bool) -> Self {
        match self {
            Self::InsufficientFee if evicts_sibling => Self::InsufficientFeeForSibling,
            Self::TooManyReplacements if evicts_sibling => Self::TooManyReplacementsForSibling,
            Self::ReplacementAddsUnconfirmed if evicts_sibling => Self::AddsUnconfirmedForSibling,
            word => word,
        }
    }
}

/// Why a package may not replace. `Display` is Bitcoin Core's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PackageRbf {
    /// It is not one parent and one child.
    #[error("package must be 1-parent-1-child")]
    Shape,
    /// It stands on something unconfirmed.
    #[error("new transaction cannot have mempool ancestors")]
    Ancestors,
    /// It would throw out more than 100 transactions.
    #[error("too many potential replacements")]
    TooMany,
    /// It pays too little for what it throws out and for itself.
    #[error("insufficient anti-DoS fees")]
    Fees,
    /// The child pays less than its parent.
    #[error("package feerate is less than or equal to parent feerate")]
    ChildPaysLess,
    /// What it conflicts with has more than one relative in the mempool.
    #[error("conflicting transaction is not alone or in a pair")]
    Crowd,
    /// It leaves miners worse off at some block size.
    #[error("insufficient feerate: does not improve feerate diagram")]
    Diagram,
}

/// Why a script fails. `Display` is Bitcoin Core's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScriptFault {
    /// Consensus refuses it; the verifying library does not say why.
    #[error("unknown error")]
    Consensus,

    // Consensus.
    /// The script ends with nothing or with zero on top.
    #[error("Script evaluated without error but finished with a false/empty top stack element")]
    EvalFalse,
    /// `OP_VERIFY` found zero.
    #[error("Script failed an OP_VERIFY operation")]
    Verify,
    /// `OP_EQUALVERIFY` found a difference.
    #[error("Script failed an OP_EQUALVERIFY operation")]
    EqualVerify,
    /// `OP_CHECKMULTISIGVERIFY` failed.
    #[error("Script failed an OP_CHECKMULTISIGVERIFY operation")]
    CheckMultisigVerify,
    /// `OP_CHECKSIGVERIFY` failed.
    #[error("Script failed an OP_CHECKSIGVERIFY operation")]
    CheckSigVerify,
    /// `OP_NUMEQUALVERIFY` found a difference.
    #[error("Script failed an OP_NUMEQUALVERIFY operation")]
    NumEqualVerify,
    /// A script of more than 10 000 bytes.
    #[error("Script is too big")]
    ScriptSize,
    /// An item of more than 520 bytes.
    #[error("Push value size limit exceeded")]
    PushSize,
    /// More than 201 operations.
    #[error("Operation limit exceeded")]
    OpCount,
    /// More than 1000 items.
    #[error("Stack size limit exceeded")]
    StackSize,
    /// More signatures than keys.
    #[error("Signature count negative or greater than pubkey count")]
    SigCount,
    /// More than 20 keys.
    #[error("Pubkey count negative or limit exceeded")]
    PubkeyCount,
    /// An opcode without meaning, or a push past the end.
    #[error("Opcode missing or not understood")]
    BadOpcode,
    /// An opcode that was switched off.
    #[error("Attempted to use a disabled opcode")]
    DisabledOpcode,
    /// Too few items on the stack.
    #[error("Operation not valid with the current stack size")]
    InvalidStack,
    /// Too few items on the other stack.
    #[error("Operation not valid with the current altstack size")]
    InvalidAltstack,
    /// `OP_RETURN`.
    #[error("OP_RETURN was encountered")]
    OpReturn,
    /// Conditions that do not pair up.
    #[error("Invalid OP_IF construction")]
    UnbalancedConditional,
    /// A lock below zero.
    #[error("Negative locktime")]
    NegativeLocktime,
    /// A lock that is not open.
    #[error("Locktime requirement not satisfied")]
    UnsatisfiedLocktime,
    /// A script signature that does more than push, where it must not.
    #[error("Only push operators allowed in signatures")]
    SigPushOnly,
    /// The extra item of `OP_CHECKMULTISIG` is not empty (BIP 147).
    #[error("Dummy CHECKMULTISIG argument must be zero")]
    NullDummy,
    /// A number that is too long or could be shorter.
    #[error("Script number overflowed or is non-minimally encoded")]
    ScriptNum,
    /// A version 0 program of neither 20 nor 32 bytes.
    #[error("Witness program has incorrect length")]
    WitnessProgramLength,
    /// A witness program without witness.
    #[error("Witness program was passed an empty witness")]
    WitnessProgramEmpty,
    /// A witness for another program.
    #[error("Witness program hash mismatch")]
    WitnessProgramMismatch,
    /// A script signature beside a witness program.
    #[error("Witness requires empty scriptSig")]
    WitnessMalleated,
    /// More than the program in the script signature.
    #[error("Witness requires only-redeemscript scriptSig")]
    WitnessMalleatedP2sh,
    /// A witness where no program asks for one.
    #[error("Witness provided for non-witness script")]
    WitnessUnexpected,
    /// A Schnorr signature of neither 64 nor 65 bytes.
    #[error("Invalid Schnorr signature size")]
    SchnorrSigSize,
    /// A Schnorr signature with an unknown hash type.
    #[error("Invalid Schnorr signature hash type")]
    SchnorrSigHashType,
    /// A Schnorr signature that does not hold.
    #[error("Invalid Schnorr signature")]
    SchnorrSig,
    /// A control block of an impossible length.
    #[error("Invalid Taproot control block size")]
    TaprootControlSize,
    /// More signatures checked than the witness pays for.
    #[error("Too much signature validation relative to witness weight")]
    TapscriptWeight,
    /// `OP_CHECKMULTISIG` in tapscript.
    #[error("OP_CHECKMULTISIG(VERIFY) is not available in tapscript")]
    TapscriptCheckMultisig,
    /// The argument of `OP_IF` in tapscript is neither empty nor `01`.
    #[error("OP_IF/NOTIF argument must be minimal in tapscript")]
    TapscriptMinimalIf,
    /// An empty key in tapscript.
    #[error("Empty public key in tapscript")]
    TapscriptEmptyPubkey,
    /// A signature that is not strict DER (BIP 66).
    #[error("Non-canonical DER signature")]
    SigDer,

    // Relay.
    /// BIP 62: the S of a signature is in the upper half.
    #[error("Non-canonical signature: S value is unnecessarily high")]
    SigHighS,
    /// An undefined signature hash type.
    #[error("Signature hash type missing or not understood")]
    SigHashType,
    /// A signature that fails is not empty.
    #[error("Signature must be zero for failed CHECK(MULTI)SIG operation")]
    NullFail,
    /// The argument of `OP_IF` in a witness script is neither empty nor `01`.
    #[error("OP_IF/NOTIF argument must be minimal")]
    MinimalIf,
    /// A push that could be shorter.
    #[error("Data push larger than necessary")]
    MinimalData,
    /// More than one item left on the stack.
    #[error("Stack size must be exactly one after execution")]
    CleanStack,
    /// A public key that is not compressed in a witness script.
    #[error("Using non-compressed keys in segwit")]
    WitnessPubkeyType,
    /// A public key of no known form.
    #[error("Public key is neither compressed or uncompressed")]
    PubkeyType,
    /// An opcode kept for later.
    #[error("NOPx reserved for soft-fork upgrades")]
    DiscourageNops,
    /// A witness version kept for later.
    #[error("Witness version reserved for soft-fork upgrades")]
    DiscourageWitnessProgram,
    /// A tapscript leaf version kept for later.
    #[error("Taproot version reserved for soft-fork upgrades")]
    DiscourageTaprootVersion,
    /// A tapscript opcode kept for later.
    #[error("OP_SUCCESSx reserved for soft-fork upgrades")]
    DiscourageOpSuccess,
    /// A form of keys kept for later.
    #[error("Public key version reserved for soft-fork upgrades")]
    DiscouragePubkeyType,
    /// `OP_CODESEPARATOR` outside segwit.
    #[error("Using OP_CODESEPARATOR in non-witness script")]
    CodeSeparator,
    /// A signature in the script that it signs.
    #[error("Signature is found in scriptCode")]
    SigFindAndDelete,
}

impl ScriptFault {
    /// Whether this is a matter for consensus alone; else relay refuses it whatever consensus says.
    pub(crate) const fn is_consensus(self) -> bool {
        !matches!(
            self,
            Self::SigHighS
                | Self::SigHashType
                | Self::NullFail
                | Self::MinimalIf
                | Self::MinimalData
                | Self::CleanStack
                | Self::WitnessPubkeyType
                | Self::PubkeyType
                | Self::DiscourageNops
                | Self::DiscourageWitnessProgram
                | Self::DiscourageTaprootVersion
                | Self::DiscourageOpSuccess
                | Self::DiscouragePubkeyType
                | Self::CodeSeparator
                | Self::SigFindAndDelete
                | Self::ScriptNum
        )
    }
}
