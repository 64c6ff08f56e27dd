//! Published weights from a server on this machine.

use std::path::PathBuf;

use super::*;

const PATH: &str = "/vdvae-assets-2/imagenet64-iter-1600000-model-ema.th";
const FILE: &str = "imagenet64-iter-1600000-model-ema.th";

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i * 7 / 3) as u8).collect()
}

fn weights_server(script: Vec<(&'static str, Answer)>) -> Server {
    let mut site = Site { script, ..Site::default() };
    site.plain.insert(PATH.into(), content());
    Server::start(site)
}

fn place(folder: &Path) -> PathBuf {
    folder.join("weights").join(FILE)
}

fn bring(folder: &Path, options: &HubOptions) -> Result<Vec<u8>, String> {
    let path = place(folder);
    match fetch_weights("imagenet64", &PATH[1..], &path, options) {
        Ok(()) => Ok(fs::read(path).unwrap()),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            Err(text)
        }
    }
}

fn left(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("weights")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn weights_are_brought_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = weights_server(vec![]);
    let heard = Arc::new(Heard::default());
    let progress = Progress::new(heard.clone());
    let hub = HubOptions { progress, ..options(&server, folder.path()) };
    assert_eq!(bring(folder.path(), &hub).unwrap(), content());
    assert_eq!(left(folder.path()), [FILE]);
    assert_eq!(heard.all(), ["start imagenet64 0 Some(300000)".to_owned(), "finish".into()]);
    assert_eq!(bring(folder.path(), &hub).unwrap(), content());
    assert_eq!(server.requests().len(), 1);
    let offline = HubOptions { offline: true, ..hub };
    assert_eq!(bring(folder.path(), &offline).unwrap(), content());
    let text = bring(&folder.path().join("empty"), &offline).unwrap_err();
    assert!(text.contains("HF_HUB_OFFLINE"), "{text}");
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let server = weights_server(vec![("/", Answer::Cut(100_000)), ("/", Answer::Cut(50_000))]);
    let hub = options(&server, folder.path());
    assert_eq!(bring(folder.path(), &hub).unwrap(), content());
    let ranges: Vec<String> = server.requests();
    assert_eq!(ranges[0], format!("GET {PATH}"));
    assert!(ranges[1].ends_with(" bytes=100000-") && ranges[2].ends_with(" bytes=150000-"));
    assert_eq!(left(folder.path()), [FILE]);
}

#[test]
fn a_later_run_goes_on_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = weights_server(vec![("/", Answer::Cut(1000)); 1]);
    server.site.lock().unwrap().script.extend(vec![("/", Answer::Cut(0)); 10]);
    let hub = options(&server, folder.path());
    let text = bring(folder.path(), &hub).unwrap_err();
    assert!(text.contains(PATH) && text.contains("broke off after 1000 of 300000 bytes"), "{text}");
    assert_eq!(left(folder.path()), [format!("{FILE}.part"), format!("{FILE}.part.etag")]);
    server.site.lock().unwrap().script.clear();
    assert_eq!(bring(folder.path(), &hub).unwrap(), content());
    assert!(server.requests().last().unwrap().ends_with(" bytes=1000-"));
    assert_eq!(left(folder.path()), [FILE]);
}

#[test]
fn parts_of_another_version_are_not_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let server = weights_server(vec![("/", Answer::Cut(1000))]);
    server.site.lock().unwrap().script.extend(vec![("/", Answer::Cut(0)); 10]);
    let hub = options(&server, folder.path());
    bring(folder.path(), &hub).unwrap_err();
    let other = vec![9; 5000];
    {
        let mut site = server.site.lock().unwrap();
        site.script.clear();
        site.plain.insert(PATH.into(), other.clone());
    }
    assert_eq!(bring(folder.path(), &hub).unwrap(), other);
    // Nor where the server takes no ranges, or the part is longer than the file.
    for (part, answer) in [(vec![1; 100], Answer::Whole), (vec![1; 9000], Answer::Claim(5000))] {
        fs::remove_file(folder.path().join("weights").join(FILE)).unwrap();
        fs::write(folder.path().join(format!("weights/{FILE}.part")), part).unwrap();
        fs::write(folder.path().join(format!("weights/{FILE}.part.etag")), "\"5000\"").unwrap();
        server.site.lock().unwrap().script = vec![("/", answer)];
        assert_eq!(bring(folder.path(), &hub).unwrap(), other);
        assert_eq!(left(folder.path()), [FILE]);
    }
}

#[test]
fn refusals_of_the_storage_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = weights_server(vec![("/", Answer::Busy(0)), ("/", Answer::Status(500))]);
    let hub = options(&server, folder.path());
    // Patience first.
    assert_eq!(bring(folder.path(), &hub).unwrap(), content());
    fs::remove_file(folder.path().join("weights").join(FILE)).unwrap();
    let cases = |answer: Answer, expected: &str, most: usize| {
        server.site.lock().unwrap().script = vec![("/", answer); 50];
        let before = server.requests().len();
        let text = bring(folder.path(), &hub).unwrap_err();
        assert!(text.contains(expected) && text.contains(PATH), "{text}");
        assert!(server.requests().len() - before <= most);
    };
    cases(Answer::Status(404), "404 Not Found", 1);
    cases(Answer::Status(403), "403 Forbidden", 1);
    cases(Answer::Busy(0), "429 Too Many Requests", 4);
    cases(Answer::Busy(7200), "asks to wait 7200 seconds", 1);
    cases(Answer::Status(500), "500 Internal Server Error, 4 times in a row", 4);
    cases(Answer::Claim(1 << 40), "expected a file of at most", 1);
    let gone = HubOptions { weights_url: "http://127.0.0.1:1".into(), ..hub };
    assert!(bring(folder.path(), &gone).unwrap_err().contains("cannot be reached"));
}
