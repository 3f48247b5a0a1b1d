//! The files that the tests write: a line a block, with what our chain made of it.

use bitcoin::hex::FromHex;
use std::error::Error;
use std::path::Path;

/// One block.
pub struct Line {
    /// `connected`, `aside`, or the word of the broken rule.
    pub word: String,
    /// Height of our tip after it.
    pub height: u32,
    /// Hash of our tip after it.
    pub tip: String,
    /// Hash of our coins after it.
    pub coins: String,
    pub block: Vec<u8>,
}

impl Line {
    /// Whether our chain took it.
    pub fn is_valid(&self) -> bool {
        matches!(self.word.as_str(), "connected" | "aside")
    }
}

/// Reads one chain.
pub fn read(file: &Path) -> Result<Vec<Result<Line, Box<dyn Error>>>, Box<dyn Error>> {
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().map(parse).collect())
}

fn parse(line: &str) -> Result<Line, Box<dyn Error>> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [word, height, tip, coins, block] = fields[..] else {
        return Err("not five fields".into());
    };
    Ok(Line {
        word: word.to_owned(),
        height: height.parse()?,
        tip: tip.to_owned(),
        coins: coins.to_owned(),
        block: Vec::from_hex(block)?,
    })
}
