//! Writes the seeds of a reader into a folder, for a fuzzer to begin with: `corpus READER FOLDER`. Without
//! arguments it says which readers there are.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    if args.len() == 0 {
        vdvae_fuzz::READERS.iter().for_each(|reader| println!("{}", reader.name));
        return Ok(());
    }
    let (Some(name), Some(folder)) = (args.next(), args.next().map(PathBuf::from)) else {
        return Err("expected the name of a reader and a folder".into());
    };
    std::fs::create_dir_all(&folder)?;
    for (i, seed) in (vdvae_fuzz::reader(&name).seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{i}")), seed)?;
    }
    Ok(())
}
