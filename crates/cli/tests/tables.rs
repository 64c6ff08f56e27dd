//! Features as tables: what Python's readers of Parquet make of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;
use std::process::Command;

use candle_core::Device;
use serde_json::Value;
use support::{add_tiny_model, csv_faces, vdvae};

/// Each prints, as JSON: the keys, the splits, whether a hat is worn, and the first layer of each row.
const READERS: [(&str, &str); 4] = [
    (
        "pyarrow",
        "import pyarrow.parquet as pq\n\
         t = pq.read_table(path).to_pydict()\n\
         columns = [t[name] for name in names]",
    ),
    (
        "pandas",
        "import pandas as pd\n\
         t = pd.read_parquet(path)\n\
         columns = [[v if v is None or isinstance(v, str) else v.tolist() if hasattr(v, 'tolist') \
         else bool(v) for v in t[name]] for name in names]",
    ),
    (
        "polars",
        "import polars as pl\n\
         t = pl.read_parquet(path)\n\
         columns = [t[name].to_list() for name in names]",
    ),
    (
        "duckdb",
        "import duckdb\n\
         rows = duckdb.sql('SELECT key, split, \"label.Hat\", \"layer.000\" FROM ' + repr(path)).fetchall()\n\
         columns = [list(column) for column in zip(*rows)]",
    ),
];

/// `None` where Python lacks the package.
fn read(package: &str, script: &str, path: &Path) -> Option<Value> {
    let python =
        |script: &str| Command::new("python3").args(["-c", script]).arg(path).output().ok();
    python(&format!("import {package}"))?.status.success().then_some(())?;
    let script = format!(
        "import json, sys\n\
         path, names = sys.argv[1], ['key', 'split', 'label.Hat', 'layer.000']\n\
         {script}\n\
         print(json.dumps(columns))"
    );
    let output = python(&script)?;
    assert!(output.status.success(), "{package}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn pythons_readers_agree_with_each_other_and_with_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    csv_faces(folder, 16);
    add_tiny_model(folder);
    let extract = "extract --checkpoint model.safetensors --data csv:labels.csv --split all --layers first:2 \
                   --pool mean";
    vdvae(folder, &format!("{extract} --out f.parquet")).ok();
    vdvae(folder, &format!("{extract} --out f.safetensors")).ok();
    let arrays =
        candle_core::safetensors::load(folder.join("f.safetensors"), &Device::Cpu).unwrap();
    let layers: Vec<Vec<f32>> = arrays["layer.000"].to_vec2().unwrap();
    let manifest = std::fs::read(folder.join("f.safetensors.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();

    let mut found = 0;
    for (package, script) in READERS {
        let Some(columns) = read(package, script, &folder.join("f.parquet")) else {
            eprintln!("skipped: Python has no {package}");
            continue;
        };
        found += 1;
        assert_eq!(columns[0], manifest["keys"], "{package}");
        assert_eq!(columns[1], manifest["splits"], "{package}");
        let hats: Vec<bool> = serde_json::from_value(columns[2].clone()).unwrap();
        assert!(hats.contains(&true) && hats.contains(&false), "{package}: {hats:?}");
        let read: Vec<Vec<f64>> = serde_json::from_value(columns[3].clone()).unwrap();
        let expected: Vec<Vec<f64>> =
            layers.iter().map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect();
        assert_eq!(read, expected, "{package}");
    }
    eprintln!("{found} of {} readers of Parquet are there", READERS.len());
}
