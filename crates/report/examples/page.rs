//! Writes a page of made-up numbers, to see what every part of it looks like.
//!
//! ```sh
//! cargo run -p vdvae-report --example page -- page.html        # 24 targets, 20 layers
//! cargo run -p vdvae-report --example page -- page.html 200 80 # 200 targets, 80 layers
//! ```

mod synthetic;

use std::path::Path;

use synthetic::{Size, Synthetic};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "page.html".to_owned());
    let mut number = |default: usize| args.next().map_or(Ok(default), |arg| arg.parse());
    let size = Size { targets: number(24)?, layers: number(20)?, pictures: 12 };
    let synthetic = Synthetic::new(size);
    vdvae_report::write_page(Path::new(&path), &synthetic.page())?;
    println!("{path}");
    Ok(())
}
