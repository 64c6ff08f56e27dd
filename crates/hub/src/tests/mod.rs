//! Downloads from a server on this machine.

#[path = "../../tests/support/client.rs"]
mod client;
#[path = "../../tests/support/server.rs"]
mod server;
#[path = "../../tests/support/tables.rs"]
pub(crate) mod tables;
mod weights;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::{DownloadProgress, HubOptions, Progress, fetch_weights, hub_checkpoint};
use client::{Heard, options};
use server::{Answer, Server, Site};

#[test]
fn checkpoints_are_found_by_their_repository() {
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::default();
    let files = vec![("model.safetensors".to_owned(), vec![7; 300]), ("x.th".into(), vec![8; 3])];
    let two = vec![("one.th".to_owned(), vec![1]), ("two.th".into(), vec![2])];
    site.repositories.insert(("a/m".into(), "main".into()), files);
    site.repositories.insert(("a/two".into(), "main".into()), two);
    let bin = vec![("optimizer.bin".to_owned(), vec![1]), ("pytorch_model.bin".into(), vec![5])];
    site.repositories.insert(("a/bin".into(), "main".into()), bin);
    let server = Server::start(site);
    let hub = options(&server, folder.path());
    let path = hub_checkpoint("a/m", &hub).unwrap();
    assert!(path.ends_with("model.safetensors") && fs::read(path).unwrap() == [7; 300]);
    assert_eq!(fs::read(hub_checkpoint("a/m/x.th", &hub).unwrap()).unwrap(), [8; 3]);
    assert_eq!(fs::read(hub_checkpoint("a/bin", &hub).unwrap()).unwrap(), [5]);
    let text = hub_checkpoint("a/two", &hub).unwrap_err().to_string();
    assert_eq!(text, "hf:a/two: add one of /one.th, /two.th");
    let text = hub_checkpoint("a/m/y.th", &hub).unwrap_err().to_string();
    assert!(text.contains("expected the file y.th, found model.safetensors, x.th"), "{text}");
    let offline = HubOptions { offline: true, ..hub.clone() };
    assert!(hub_checkpoint("a/m", &offline).unwrap().ends_with("model.safetensors"));
}
