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
}

/// Why a script fails. `Display` is Bitcoin Core's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScriptFault {
    /// Consensus refuses it; the verifying library does not say why.
    #[error("unknown error")]
    Consensus,
    /// BIP 62: the S of a signature is in the upper half.
    #[error("Non-canonical signature: S value is unnecessarily high")]
    SigHighS,
    /// A signature that is not strict DER.
    #[error("Non-canonical DER signature")]
    SigDer,
    /// An undefined signature hash type.
    #[error("Signature hash type missing or not understood")]
    SigHashType,
    /// A signature that fails is not empty.
    #[error("Signature must be zero for failed CHECK(MULTI)SIG operation")]
    NullFail,
    /// The argument of `OP_IF` in a witness script is neither empty nor `01`.
    #[error("OP_IF/NOTIF argument must be minimal")]
    MinimalIf,
    /// A push or a number that could be shorter.
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
    /// `OP_CODESEPARATOR` outside segwit.
    #[error("Using OP_CODESEPARATOR in non-witness script")]
    CodeSeparator,
}
