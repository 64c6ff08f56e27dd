//! The cache of features: its flags, and `vdvae-probe cache`.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use vdvae_features::{CacheContents, CacheEntry, FeatureCache};

use crate::exit::usage;
use crate::output::print;

/// Where features are kept.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CacheArgs {
    /// Run the network, whatever the cache holds, and keep nothing [example: --no-cache]
    #[arg(long, conflicts_with = "cache_dir")]
    no_cache: bool,
    /// Folder of cached features; $VDVAE_CACHE/features, or vdvae/features in the platform's folder
    /// for caches, without it [example: --cache-dir /scratch/features]
    #[arg(long, global = true, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

/// What `vdvae-probe cache` does.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum CacheCommand {
    /// List what the cache holds
    List,
    /// Remove everything from the cache
    Clear,
}

impl CacheArgs {
    /// The cache to probe with. A default folder that cannot be used costs a warning; one that was
    /// asked for is an error.
    pub(super) fn open(&self) -> Result<Option<FeatureCache>> {
        if self.no_cache {
            return Ok(None);
        }
        if let Some(folder) = &self.cache_dir {
            return Ok(Some(FeatureCache::open(folder)?));
        }
        let Some(folder) = FeatureCache::default_folder() else { return Ok(None) };
        match FeatureCache::open(&folder) {
            Ok(cache) => Ok(Some(cache)),
            Err(error) => {
                eprintln!("warning: no cache of features: {error}");
                Ok(None)
            }
        }
    }

    /// Lists or clears.
    pub(super) fn run(&self, command: CacheCommand, as_json: bool) -> Result<()> {
        let folder = self.cache_dir.clone().or_else(FeatureCache::default_folder);
        let folder = folder.ok_or_else(|| {
            usage("no folder for caches is known: expected --cache-dir DIR, or VDVAE_CACHE set")
        })?;
        let cache = FeatureCache::open(&folder)?;
        match command {
            CacheCommand::List => {
                let entries = cache.entries()?;
                print(&match as_json {
                    true => serde_json::to_string_pretty(&list_json(&cache, &entries))?,
                    false => list_table(&cache, &entries),
                })
            }
            CacheCommand::Clear => {
                let (count, bytes) = cache.clear()?;
                let folder = cache.folder().display();
                print(&match as_json {
                    true => json!({"folder": cache.folder(), "removed": count, "bytes": bytes})
                        .to_string(),
                    false => format!("{folder}: {count} entries removed, {}", size(bytes)),
                })
            }
        }
    }
}

fn list_json(cache: &FeatureCache, entries: &[CacheEntry]) -> Value {
    let entry = |entry: &CacheEntry| {
        let mut json = json!({
            "path": entry.path,
            "key": key(entry),
            "bytes": entry.bytes,
            "age_seconds": age(entry).map(|age| age.as_secs()),
        });
        match &entry.contents {
            Err(problem) => json["problem"] = json!(problem),
            Ok(contents) => {
                json["model"] = json!(contents.model);
                json["data"] = json!(contents.data);
                json["rows"] = json!(contents.rows);
                json["columns"] = json!(columns(contents));
                let arrays = contents.arrays.iter();
                json["arrays"] = arrays.map(|(name, n)| (name.clone(), json!(n))).collect();
                json["identity"] = contents.identity.clone();
            }
        }
        json
    };
    json!({
        "folder": cache.folder(),
        "bytes": entries.iter().map(|entry| entry.bytes).sum::<u64>(),
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn list_table(cache: &FeatureCache, entries: &[CacheEntry]) -> String {
    const HEADER: [&str; 8] =
        ["key", "model", "data", "split", "features", "rows x columns", "size", "age"];
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(entries.iter().map(list_row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEADER.len()).map(|c| width(c).unwrap_or(0)).collect();
    let bytes = entries.iter().map(|entry| entry.bytes).sum();
    let folder = cache.folder().display();
    let mut text = format!("{folder}: {} entries, {}\n", entries.len(), size(bytes));
    for row in rows.iter().filter(|_| !entries.is_empty()) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:<width$}  ").expect("writing to a string never fails");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn list_row(entry: &CacheEntry) -> [String; 8] {
    let age = age(entry).map_or("?".to_owned(), short_age);
    let (key, bytes) = (key(entry), size(entry.bytes));
    let dash = || "-".to_owned();
    let contents = match &entry.contents {
        Ok(contents) => contents,
        Err(_) => {
            return [key, "damaged".to_owned(), dash(), dash(), dash(), dash(), bytes, age];
        }
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let identity = &contents.identity;
    let features = &identity["features"];
    let mut what = match (text(&features["statistic"]), text(&features["pooling"])) {
        (Some(statistic), Some(pooling)) => format!("{statistic} {pooling}"),
        _ => format!("{0}x{0}", identity["size"]),
    };
    if features["samples"].as_u64().is_some_and(|samples| samples > 1) {
        what += &format!(" x{}", features["samples"]);
    }
    let split = text(&identity["split"]).unwrap_or_else(dash);
    let shape = format!("{} x {}", contents.rows, columns(contents));
    [key, contents.model.clone(), contents.data.clone(), split, what, shape, bytes, age]
}

/// Enough of a file's name to tell it from others.
fn key(entry: &CacheEntry) -> String {
    let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
    name.chars().take(12).collect()
}

fn columns(contents: &CacheContents) -> usize {
    contents.arrays.iter().map(|(_, columns)| columns).sum()
}

fn age(entry: &CacheEntry) -> Option<Duration> {
    // A clock that was set back makes a file young, not unknown.
    entry.modified.map(|at| at.elapsed().unwrap_or_default())
}

fn short_age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        let sizes = [999, 1_000, 107_712_000, 8_000_000_000].map(size);
        assert_eq!(sizes, ["999 B", "1.0 kB", "107.7 MB", "8.0 GB"]);
        let ages = [59, 60, 7_200, 200_000].map(|s| short_age(Duration::from_secs(s)));
        assert_eq!(ages, ["59 s", "1 min", "2 h", "2 days"]);
    }
}
