//! Downloads by name, from a server on this machine that answers as the hub does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Ran, add_tiny_model, probe, vdvae, vdvae_command};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files by path, and how many requests there have been.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

fn serve(files: HashMap<String, Vec<u8>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    // Ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::Relaxed);
            // A client that hangs up is no concern of the server's.
            let _ = answer(stream, &files);
        }
    });
    Server { url, requests }
}

fn answer(mut stream: TcpStream, files: &HashMap<String, Vec<u8>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some(bytes) = files.get(path) else {
        return write!(stream, "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"abc\"\r\nConnection: close\r\n\r\n",
        bytes.len()
    )?;
    if method == "GET" { stream.write_all(bytes) } else { Ok(()) }
}

fn online(folder: &Path, server: &Server, args: &str) -> Ran {
    let mut command = vdvae_command(folder, args);
    command.env("HF_HUB_OFFLINE", "0").env("HF_ENDPOINT", &server.url);
    Ran::of(command.env("VDVAE_WEIGHTS_URL", &server.url).output().unwrap())
}

#[test]
fn published_weights_become_a_checkpoint_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let line = vdvae(folder.path(), "info ffhq256").error(2);
    assert!(line.contains("`vdvae fetch ffhq256` downloads them"), "{line}");
    let file = "ffhq256-iter-1700000-model-ema.th";
    let server = serve([(format!("/vdvae-assets/{file}"), b"weights".to_vec())].into());
    for _ in 0..2 {
        let out = online(folder.path(), &server, "fetch ffhq256").ok();
        assert!(out.trim().ends_with(file), "{out}");
        assert_eq!(fs::read(out.trim()).unwrap(), b"weights");
    }
    assert_eq!(server.requests.load(Ordering::Relaxed), 1);
    // It is found, and found to be no checkpoint.
    let line = vdvae(folder.path(), "info ffhq256").error(1);
    assert!(line.contains(file), "{line}");
    let line = online(folder.path(), &server, "fetch imagenet32").error(1);
    assert!(line.contains("404 Not Found"), "{line}");
    let line = vdvae(folder.path(), "fetch imagenet65").error(2);
    assert!(line.contains("imagenet64") && line.contains("hf:OWNER/REPO"), "{line}");
}

#[test]
fn checkpoints_of_the_hub_go_by_their_repository() {
    let folder = tempfile::tempdir().unwrap();
    add_tiny_model(folder.path());
    let model = fs::read(folder.path().join("model.safetensors")).unwrap();
    let about =
        format!(r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "tiny.safetensors"}}]}}"#);
    let server = serve(
        [
            ("/api/models/a/tiny/revision/main".to_owned(), about.into_bytes()),
            (format!("/a/tiny/resolve/{COMMIT}/tiny.safetensors"), model),
        ]
        .into(),
    );
    let here = vdvae(folder.path(), "info model.safetensors --json").ok();
    let there = online(folder.path(), &server, "info hf:a/tiny --json").ok();
    assert_eq!(here.replace("model.safetensors", "tiny.safetensors"), there);
    // And offline, as every other test is.
    assert_eq!(vdvae(folder.path(), "info hf:a/tiny --json").ok(), there);
    let line = vdvae(folder.path(), "info hf:a/other").error(1);
    assert!(line.contains("hf:a/other: offline"), "{line}");
    let line = vdvae(folder.path(), "info hf:a").error(2);
    assert!(line.contains("hf:OWNER/REPO"), "{line}");
    let line = online(folder.path(), &server, "eval --data hf:a/none").error(1);
    assert!(line.contains("hf:a/none: no such repository (404)"), "{line}");
}

#[test]
fn without_data_one_line_names_every_way_to_have_it() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        probe(folder.path(), "--layer 32x32 --task celeba-attrs").error(2),
        vdvae(folder.path(), "fetch celeba").error(2),
    ] {
        for way in ["--data-root", "celeba:PATH", "VDVAE_DATA", "flwrlabs/celeba", "toy-faces"] {
            assert!(line.contains(way), "{way}: {line}");
        }
    }
}
