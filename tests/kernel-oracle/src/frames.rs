//! Block files of a chain of ours: magic, length, block, as Bitcoin Core's.

use std::error::Error;
use std::path::{Path, PathBuf};

/// All blocks below a directory, in the order they were written.
pub fn read(dir: &Path) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let (mut files, mut open): (Vec<PathBuf>, Vec<PathBuf>) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                open.push(path);
            } else if name.starts_with("blk") && name.ends_with(".dat") {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut blocks = Vec::new();
    for file in files {
        let bytes = std::fs::read(file)?;
        let mut rest = bytes.as_slice();
        while let Some((head, body)) = rest.split_first_chunk::<8>() {
            let [magic @ .., a, b, c, d] = *head;
            let length = usize::try_from(u32::from_le_bytes([a, b, c, d]))?;
            // Room that is not used yet.
            if magic == [0; 4] {
                break;
            }
            let Some((block, next)) = body.split_at_checked(length) else { break };
            blocks.push(block.to_vec());
            rest = next;
        }
    }
    if blocks.is_empty() { Err("no blocks there".into()) } else { Ok(blocks) }
}
