//! Paying: offering and removing HTLCs, committing, coming back (BOLT 2 § Normal Operation).
//!
//! Not here: what an onion holds ([`crate::onion`]), whether an update may be made (`channel`).

use bitcoin::Txid;
use secp256k1::PublicKey;

use crate::id::{ChannelId, PaymentHash, Preimage, Signature};
use crate::message::packet::{AttributionData, OnionPacket};
use crate::units::{BlockHeight, FeeratePerKw, Msat};

messages! {
    /// Offers an HTLC. BOLT 2 § Adding an HTLC.
    128 "update_add_htlc" => UpdateAddHtlc {
        channel_id: ChannelId,
        id: u64,
        amount_msat: Msat,
        payment_hash: PaymentHash,
        cltv_expiry: BlockHeight,
        /// Not read here: a bad onion fails its HTLC, never the connection.
        onion_routing_packet: OnionPacket,
    } + tlvs {
        /// The path key of a blinded route (record `blinded_path`).
        0 => path_key: PublicKey,
        /// Whether the offerer says that it will answer for a slow HTLC: one byte, 7 for yes (BOLT 2,
        /// experimental `accountable`).
        106_823 => accountable: Vec<u8>,
    }

    /// Takes an HTLC with its preimage. BOLT 2 § Removing an HTLC.
    130 "update_fulfill_htlc" => UpdateFulfillHtlc {
        channel_id: ChannelId,
        id: u64,
        payment_preimage: Preimage,
    } + tlvs {
        1 => attribution_data: AttributionData,
    }

    /// Gives an HTLC back, with a reason only its sender can read. BOLT 2 § Removing an HTLC.
    131 "update_fail_htlc" => UpdateFailHtlc {
        channel_id: ChannelId,
        id: u64,
        reason: Vec<u8>,
    } + tlvs {
        1 => attribution_data: AttributionData,
    }

    /// Gives an HTLC back because its onion could not be read. BOLT 2 § Removing an HTLC.
    135 "update_fail_malformed_htlc" => UpdateFailMalformedHtlc {
        channel_id: ChannelId,
        id: u64,
        sha256_of_onion: [u8; 32],
        failure_code: u16,
    }

    /// Signs the receiver's next commitment. BOLT 2 § Committing Updates So Far.
    132 "commitment_signed" => CommitmentSigned {
        channel_id: ChannelId,
        signature: Signature,
        /// One for each HTLC output, in the order of the outputs.
        htlc_signature: Vec<Signature>,
    } + tlvs {
        /// Which funding this commitment spends, when there are several.
        1 => funding_txid: Txid,
    }

    /// Gives up the sender's old commitment. BOLT 2 § Completing the Transition to the Updated State.
    133 "revoke_and_ack" => RevokeAndAck {
        channel_id: ChannelId,
        per_commitment_secret: [u8; 32],
        next_per_commitment_point: PublicKey,
    }

    /// Changes what commitments pay to miners. BOLT 2 § Updating Fees.
    134 "update_fee" => UpdateFee {
        channel_id: ChannelId,
        feerate_per_kw: FeeratePerKw,
    }

    /// Says how far the sender is, after a reconnection. BOLT 2 § Message Retransmission.
    136 "channel_reestablish" => ChannelReestablish {
        channel_id: ChannelId,
        next_commitment_number: u64,
        next_revocation_number: u64,
        /// All zero before the first revocation.
        your_last_per_commitment_secret: [u8; 32],
        my_current_per_commitment_point: PublicKey,
    } + tlvs {
        /// The funding that is still being signed.
        1 => next_funding: NextFunding,
        /// The last funding the sender has seen confirmed deeply enough.
        5 => my_current_funding_locked: CurrentFundingLocked,
    }
}

subtypes! {
    /// A funding transaction whose signatures are incomplete. BOLT 2 § Message Retransmission.
    NextFunding {
        /// The transaction.
        next_funding_txid: Txid,
        /// Bit 0: please send `commitment_signed` again.
        retransmit_flags: u8,
    }

    /// A funding transaction the sender has locked. BOLT 2 § Message Retransmission.
    CurrentFundingLocked {
        /// The transaction.
        my_current_funding_locked_txid: Txid,
        /// Bit 0: please send `announcement_signatures` again.
        retransmit_flags: u8,
    }
}
