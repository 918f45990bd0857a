//! A client of HTTP/1.1 that sends what it is told, byte by byte if need be.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// More than any answer takes.
const TIME: Duration = Duration::from_secs(60);

/// A connection, which is used for one request after the other.
#[derive(Debug)]
pub struct HttpClient {
    stream: BufReader<TcpStream>,
}

#[derive(Debug, Clone)]
pub struct HttpAnswer {
    pub status: u16,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl HttpAnswer {
    /// # Panics
    /// If the body is no JSON: a test has failed then.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl HttpClient {
    /// # Panics
    /// If nobody listens.
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        Self::try_connect(address).expect("somebody listens")
    }

    pub fn try_connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIME))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request, and waits for its answer.
    ///
    /// # Panics
    /// If the connection breaks off.
    #[track_caller]
    pub fn send(
        &mut self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> HttpAnswer {
        self.try_send((method, path), headers, body).expect("an answer")
    }

    pub fn try_send(
        &mut self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> io::Result<HttpAnswer> {
        let body = body.as_ref();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: pinhost\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        self.write(&[head.as_bytes(), body].concat())?;
        self.answer()
    }

    /// Posts JSON.
    #[track_caller]
    pub fn post(&mut self, path: &str, body: &str) -> HttpAnswer {
        self.send(("POST", path), &[("Content-Type", "application/json")], body)
    }

    /// Sends these bytes, whatever they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more comes.
    pub fn end(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(Shutdown::Write)
    }

    /// Reads the next answer.
    pub fn answer(&mut self) -> io::Result<HttpAnswer> {
        let broken = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| broken(&line))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(&line))?;
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(HttpAnswer { status, headers, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}
