//! Fees by a script instead of by what waits, block after block.

use chain_backend::{
    BuiltinChain, ChainBackend as _, ChainError, FeeReplay, FeeReplayError, Sandbox as _,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether a block came.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is nothing to replay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unclear {
    #[error("--fee-replay {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("--fee-replay {0}: {1}")]
    Script(PathBuf, FeeReplayError),
}

/// The script of that name: `spike`, or a file.
pub(crate) fn script(name: &Path) -> Result<FeeReplay, Unclear> {
    if name == Path::new("spike") {
        return Ok(FeeReplay::spike());
    }
    let text =
        std::fs::read_to_string(name).map_err(|error| Unclear::Read(name.to_owned(), error))?;
    text.parse().map_err(|error| Unclear::Script(name.to_owned(), error))
}

/// Follows the chain from its tip on; ends never, not even when the script does.
pub(crate) async fn follow(chain: &BuiltinChain, replay: Option<FeeReplay>) {
    if let Some(replay) = replay
        && let Err(error) = play(chain, &replay).await
    {
        tracing::error!(%error, "fees are no longer replayed");
    }
    std::future::pending().await
}

async fn play(chain: &BuiltinChain, replay: &FeeReplay) -> Result<(), ChainError> {
    let height =
        || async { chain.tip().await.map(|tip| tip.height).map_err(|_| ChainError::Stopped) };
    let start = height().await?;
    let mut said = None;
    loop {
        let step = replay.at(height().await?.saturating_sub(start));
        if said != Some(step) {
            let floor = step.and_then(|step| step.floor);
            chain.fix_fees(step.map_or_else(BTreeMap::new, |step| step.targets.clone())).await?;
            chain.set_floor(floor).await.map_err(|_| ChainError::Stopped)?;
            said = Some(step);
        }
        if step.is_none() {
            tracing::info!("the fee script is over");
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::FeeRate;

    #[tokio::test]
    async fn each_block_is_a_step_and_after_the_last_one_fees_are_estimated_again() {
        let chain = BuiltinChain::in_memory(|| 1_700_000_000).unwrap();
        let replay: FeeReplay = "1 2=50 floor=9\n2 2=70".parse().unwrap();
        let of = |sat_vb| FeeRate::from_sat_per_vb(sat_vb);
        let script = bitcoin::ScriptBuf::from_bytes(vec![0x51]);
        let steps = async {
            for (fee, floor) in [(of(50), of(9)), (of(70), of(1)), (of(70), of(1)), (None, of(1))] {
                loop {
                    let table = chain.fees().await.unwrap();
                    if table.estimate(2) == fee && Some(table.floor()) == floor {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                chain.mine(1, script.clone()).await.unwrap();
            }
        };
        let both = async { tokio::join!(play(&chain, &replay), steps) };
        let (played, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
        played.unwrap();
    }

    #[test]
    fn a_script_is_found_by_its_name_or_its_file() {
        assert!(script(Path::new("spike")).unwrap().blocks() > 100);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fees");
        assert!(matches!(script(&file), Err(Unclear::Read(..))));
        std::fs::write(&file, "1 1=").unwrap();
        assert!(matches!(script(&file), Err(Unclear::Script(..))));
    }
}
