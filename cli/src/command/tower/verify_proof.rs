//! `tower verify-proof`: works without any node, for whoever is shown such a file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use watchtower::proof::check::Evidence;
use watchtower::proof::fraud::{Exhibit, FILE_MAX, FraudProof, Guilt, Loss, Verdict};
use watchtower::proof::tombstone::Tombstone;

use crate::amount::sat;
use crate::failure::Failure;
use crate::render::{Screen, Tone};

/// Check a file that is said to prove that a tower broke its promise. Needs no node and no network.
///
/// A theft: the tower had signed for a record, the breach came later, the record was good, and the cheater took
/// its output after its delay. A loss: it had signed for records and its signed answer to an audit is not
/// over them. Or two receipts of its own that contradict. All of that is computed again from the file. What
/// is left to you: whether the key is that tower's, and whether the blocks are on your chain.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyProof {
    /// The file.
    file: PathBuf,
    /// What the tower shows in its defence: deletions that the client had signed.
    #[arg(long, value_name = "FILE")]
    rebuttal: Vec<PathBuf>,
}

/// What was proved, for programs.
#[derive(Debug, Serialize)]
struct Proved {
    verdict: &'static str,
    tower: String,
    session: String,
    network: String,
    record: u32,
    receipt_height: u32,
    breach_txid: String,
    breach_height: u32,
    outpoint: String,
    stolen_sat: u64,
    theft_txid: String,
    theft_height: u32,
    /// Hash of the last block in the file.
    last_block: String,
    blocks: u32,
    ladder_top_sat_per_kw: u32,
    work: String,
}

impl VerifyProof {
    pub(crate) fn run(&self, screen: &mut Screen) -> Result<(), Failure> {
        let bytes = read(&self.file)?;
        let refuse = |why: String| Failure::NotProved { why };
        let exhibit = Exhibit::from_bytes(&bytes).map_err(|error| refuse(error.to_string()))?;
        let mut rebuttals: Vec<Tombstone> = Vec::new();
        for path in &self.rebuttal {
            let read = Tombstone::read_all(&read(path)?).map_err(|error| Failure::File {
                path: path.display().to_string(),
                error: std::io::Error::other(error.to_string()),
            })?;
            rebuttals.extend(read);
        }
        let proof = match exhibit {
            Exhibit::Theft(proof) => proof,
            Exhibit::Lost(lost) => {
                let loss = lost.verify(&rebuttals).map_err(|why| refuse(why.to_string()))?;
                let broken = Broken::lost(&loss);
                return screen.result(&broken, |broken| vec![broken.tower.clone()], tell);
            }
            Exhibit::Receipts(evidence) => {
                let broken = Broken::receipts(&evidence).filter(|_| evidence.convicts());
                let none = || refuse("the two receipts do not contradict".to_owned());
                let broken = broken.ok_or_else(none)?;
                return screen.result(&broken, |broken| vec![broken.tower.clone()], tell);
            }
        };
        match proof.verify(&rebuttals) {
            Verdict::Guilty(guilt) => {
                let proved = Proved::of(&guilt, &proof);
                screen.result(&proved, |proved| vec![proved.tower.clone()], describe)
            }
            Verdict::Rejected(why) => Err(refuse(why.to_string())),
        }
    }
}

impl Proved {
    fn of(guilt: &Guilt, proof: &FraudProof) -> Self {
        let last = proof.headers.headers.last();
        Self {
            verdict: "guilty",
            tower: guilt.tower.to_string(),
            session: guilt.session.to_string(),
            network: guilt.network.to_string(),
            record: guilt.seq,
            receipt_height: guilt.receipt_height,
            breach_txid: guilt.breach.to_string(),
            breach_height: guilt.breach_height,
            outpoint: guilt.outpoint.to_string(),
            stolen_sat: guilt.stolen.to_sat(),
            theft_txid: guilt.theft.to_string(),
            theft_height: guilt.theft_height,
            last_block: last.map(|header| header.block_hash().to_string()).unwrap_or_default(),
            blocks: guilt.blocks,
            ladder_top_sat_per_kw: guilt.feerate_max.0,
            work: guilt.work.to_string(),
        }
    }
}

fn describe(screen: &Screen, proved: &Proved) -> String {
    let top = proved.ladder_top_sat_per_kw.saturating_mul(4).saturating_add(999) / 1_000;
    [
        screen.paint(Tone::Bad, "the tower broke its promise"),
        format!("tower      {}", proved.tower),
        format!(
            "promise    record {} of session {}, signed for at height {}",
            proved.record, proved.session, proved.receipt_height
        ),
        format!("breach     {} at height {}", proved.breach_txid, proved.breach_height),
        format!("time       {} blocks, and its justice paid up to {top} sat/vB", proved.blocks),
        format!("theft      {} at height {}", proved.theft_txid, proved.theft_height),
        format!("stolen     {} from {}", sat(proved.stolen_sat), proved.outpoint),
        String::new(),
        format!("Compare on {}: block {} must be", proved.network, proved.theft_height),
        format!("           {}", proved.last_block),
        "and ask the tower for deletions that its client had signed (--rebuttal).".to_owned(),
    ]
    .join("\n")
}

/// A promise that was broken without a theft, for programs.
#[derive(Debug, Serialize)]
struct Broken {
    verdict: &'static str,
    tower: String,
    session: String,
    records_signed: u32,
    receipt_height: u32,
    /// The last height at which the tower promised to watch.
    until_height: u32,
    /// What it did, for people.
    what: String,
}

impl Broken {
    fn lost(loss: &Loss) -> Self {
        Self {
            verdict: "guilty",
            tower: loss.tower.to_string(),
            session: loss.session.to_string(),
            records_signed: loss.signed,
            receipt_height: loss.receipt_height,
            until_height: loss.until,
            what: format!("asked for {}, it gave a signed answer that is not theirs", loss.asked),
        }
    }

    fn receipts(evidence: &Evidence) -> Option<Self> {
        let before = evidence.before.as_ref()?;
        let (first, second) = (&before.ack, &evidence.receipt.ack);
        let what = if first.durable_seq == second.durable_seq {
            format!(
                "at height {} it signed for other records under the same numbers",
                second.height
            )
        } else {
            format!("at height {} it signed for {} only", second.height, second.durable_seq)
        };
        Some(Self {
            verdict: "guilty",
            tower: evidence.tower.to_string(),
            session: before.session.key.to_string(),
            records_signed: first.durable_seq,
            receipt_height: first.height,
            until_height: first.expiry,
            what,
        })
    }
}

fn tell(screen: &Screen, broken: &Broken) -> String {
    [
        screen.paint(Tone::Bad, "the tower broke its promise"),
        format!("tower      {}", broken.tower),
        format!(
            "promise    {} records of session {}, signed for at height {}",
            broken.records_signed, broken.session, broken.receipt_height
        ),
        format!("broken     {}", broken.what),
        String::new(),
        format!("This holds if your chain is at height {} or below.", broken.until_height),
        "Later the tower may have let go of the session. Ask it for deletions that its".to_owned(),
        "client had signed (--rebuttal).".to_owned(),
    ]
    .join("\n")
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |error| Failure::File { path: path.display().to_string(), error };
    let mut bytes = Vec::new();
    // One byte more than any: then it is refused for its length.
    let limit = u64::try_from(FILE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let file = std::fs::File::open(path).map_err(wrong)?;
    file.take(limit).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::Value;

    use crate::args::{Cli, Command};
    use crate::command::fake::screen;
    use crate::failure::Failure;

    /// The case of the watchtower's own tests.
    const PROOF: &[u8] = include_bytes!("../../../../watchtower/src/proof/fraud/sample.proof");
    /// Its client's word that everything may be deleted.
    const TOMBSTONE: &[u8] =
        include_bytes!("../../../../watchtower/src/proof/fraud/sample.tombstone");

    struct Files(tempfile::TempDir);

    impl Files {
        fn new(proof: &[u8], tombstone: &[u8]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("proof"), proof).unwrap();
            std::fs::write(dir.path().join("rebuttal"), tombstone).unwrap();
            Self(dir)
        }

        /// What the command prints, on stdout, and how it ends.
        fn run(&self, look: &str, with_rebuttal: bool) -> (String, Result<(), Failure>) {
            let path = |name: &str| self.0.path().join(name).display().to_string();
            let mut line = vec!["viaduct".to_owned(), "tower".into(), "verify-proof".into()];
            line.push(path("proof"));
            if with_rebuttal {
                line.extend(["--rebuttal".to_owned(), path("rebuttal")]);
            }
            line.push(look.to_owned());
            let Command::Node(command) = Cli::parse_from(line).command else { panic!() };
            let (mut screen, seen) = screen(look == "--json");
            let end = command.offline().unwrap().run(&mut screen);
            (seen.text(), end)
        }
    }

    fn why(end: Result<(), Failure>) -> String {
        let failure = end.unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        failure.to_string()
    }

    #[test]
    fn a_file_that_proves_it_is_told_with_what_to_compare() {
        let (out, end) = Files::new(PROOF, &[]).run("--yes", false);
        end.unwrap();
        assert!(out.starts_with("the tower broke its promise"), "{out}");
        assert!(out.contains("at height 103") && out.contains("block 108 must be"), "{out}");
        let (out, end) = Files::new(PROOF, &[]).run("--json", false);
        end.unwrap();
        let json: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(json["verdict"], "guilty");
        assert_eq!(json["network"], "regtest");
        assert_eq!(json["record"], 13);
        assert_eq!(json["blocks"], 5);
    }

    #[test]
    fn a_deletion_that_the_client_signed_is_a_defence() {
        let files = Files::new(PROOF, TOMBSTONE);
        let (out, end) = files.run("--yes", true);
        assert_eq!(out, "");
        assert!(why(end).contains("the client had the record deleted"));
        assert!(files.run("--yes", false).1.is_ok());
    }

    #[test]
    fn what_is_no_proof_is_refused_by_name() {
        let (_, end) = Files::new(b"hello", &[]).run("--yes", false);
        assert!(why(end).contains("this is no fraud proof"));
        let mut damaged = PROOF.to_vec();
        damaged[200] ^= 1;
        let (_, end) = Files::new(&damaged, &[]).run("--yes", false);
        assert!(why(end).contains("the file is damaged"));
        let (_, end) = Files::new(PROOF, b"rubbish").run("--yes", true);
        assert!(matches!(end, Err(Failure::File { .. })));
    }
}
