//! Requests, with patience: what may help is tried again, a bounded number of times.

use std::fmt;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body};

use crate::options::HubOptions;
use crate::wait::Wait;

/// Silence after which a connection is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most redirects of one request.
const REDIRECTS: usize = 8;

/// Why there is no answer, or not the one hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, with the cause.
    Unreachable(String),
    /// A status that no patience changes.
    Status(u16),
    /// 429 or 503, and the wait that was asked for is too long.
    Busy(u16, Duration),
    /// Something else, said in one line.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "cannot be reached ({cause})"),
            Self::Status(status) => write!(f, "the server answers {}", reason(*status)),
            Self::Busy(status, wait) => {
                let (status, seconds) = (reason(*status), wait.as_secs());
                write!(f, "the server answers {status} and asks to wait {seconds} seconds")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// `404 Not Found`.
pub(crate) fn reason(status: u16) -> String {
    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Self::Other(text),
            _ => Self::Unreachable(text),
        }
    }
}

/// What the hub says about a file without sending it.
pub(crate) struct About {
    /// Entity tag, without quotes.
    pub(crate) tag: String,
    pub(crate) size: Option<u64>,
}

/// A client for one server and where it redirects to.
pub(crate) struct Http {
    follow: Agent,
    stay: Agent,
    pub(crate) options: HubOptions,
}

impl Http {
    pub(crate) fn new(options: &HubOptions) -> Self {
        let config = || {
            Agent::config_builder()
                .user_agent(concat!("vdvae/", env!("CARGO_PKG_VERSION")))
                .http_status_as_error(false)
                .timeout_connect(Some(PATIENCE / 3))
                .timeout_per_read(Some(PATIENCE))
        };
        Self {
            follow: config().max_redirects(REDIRECTS as u32).build().into(),
            stay: config().max_redirects(0).build().into(),
            options: options.clone(),
        }
    }

    /// One `GET`, to the end of its redirects. The token goes to `url` only.
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[(&str, String)],
    ) -> Result<Response<Body>, Failure> {
        // Ranges are of the bytes as they are stored.
        let mut request = self.follow.get(url).header("Accept-Encoding", "identity");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = self.token(url) {
            request = request.header("Authorization", token);
        }
        Ok(request.call()?)
    }

    /// The token is for the hub.
    fn token(&self, url: &str) -> Option<String> {
        let rest = url.strip_prefix(self.options.endpoint.trim_end_matches('/'))?;
        let token = self.options.token.as_ref().filter(|_| rest.starts_with('/'))?;
        Some(format!("Bearer {token}"))
    }

    /// Reads a text of at most `limit` bytes.
    pub(crate) fn text(&self, url: &str, limit: u64) -> Result<String, Failure> {
        let mut response = self.patiently(|| self.get(url, &[]))?;
        let text = response.body_mut().with_config().limit(limit).read_to_string();
        text.map_err(|error| Failure::Other(format!("cannot read {url}: {error}")))
    }

    /// Asks about a file; only redirects within the hub are followed, since storage behind it does
    /// not know the tag.
    pub(crate) fn about(&self, url: &str) -> Result<About, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let response = self.patiently(|| {
                let mut request = self.stay.head(&url).header("Accept-Encoding", "identity");
                if let Some(token) = self.token(&url) {
                    request = request.header("Authorization", token);
                }
                Ok(request.call()?)
            })?;
            let headers = response.headers();
            if let Some(tag) = text_of(headers, "x-linked-etag").or(text_of(headers, "etag")) {
                let size = text_of(headers, "x-linked-size").or_else(|| {
                    text_of(headers, "content-length").filter(|_| response.status().is_success())
                });
                let tag = tag.trim_start_matches("W/").trim_matches('"').to_owned();
                return Ok(About { tag, size: size.and_then(|size| size.parse().ok()) });
            }
            match text_of(headers, "location").filter(|_| response.status().is_redirection()) {
                Some(place) if place.starts_with('/') && !place.starts_with("//") => {
                    url = format!("{}{place}", self.options.endpoint.trim_end_matches('/'));
                }
                _ => return Err(Failure::Other("expected an ETag in the hub's answer".into())),
            }
        }
        Err(Failure::Other("the hub redirects without end".into()))
    }

    /// Makes a request until the answer is one that patience does not change; then it is a success
    /// or a redirect, or an error.
    fn patiently(
        &self,
        run: impl Fn() -> Result<Response<Body>, Failure>,
    ) -> Result<Response<Body>, Failure> {
        let mut wait = Wait::new(&self.options);
        loop {
            let response = run()?;
            let status = response.status();
            if status.is_success() || status.is_redirection() {
                return Ok(response);
            }
            let asked = retry_after(response.headers());
            if !is_passing(status) || !wait.again(asked) {
                return Err(refusal(status, asked));
            }
        }
    }
}

/// Whether another try may get another answer.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

pub(crate) fn refusal(status: StatusCode, asked: Option<Duration>) -> Failure {
    match asked.filter(|_| is_passing(status)) {
        Some(wait) if wait > Duration::ZERO => Failure::Busy(status.as_u16(), wait),
        _ => Failure::Status(status.as_u16()),
    }
}

/// Seconds of `Retry-After`; a date is taken for no answer.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text_of(headers, "retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
