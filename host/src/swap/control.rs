//! Requests to a pipeline that runs, from other processes of the same user on the same machine: a socket in
//! a folder that is closed to everybody else, named after the pipeline's file. A line of JSON each way.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::request::{Answer, Asked, Request};
use crate::private_folder;
use crate::record::Digest;

/// Far more than anybody asks, and than the lineage of a pipeline takes.
const ASKED_BYTES_MAX: u64 = 1 << 20;
const ANSWER_BYTES_MAX: u64 = 1 << 28;

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no process of yours on this machine runs {}", file.display())]
    NobodyThere { file: PathBuf },
    #[error("another process of yours runs {}, and answers what is asked about it", file.display())]
    Taken { file: PathBuf },
    #[error("there is no local socket to be had")]
    NoSocket(#[source] io::Error),
    #[error("the process that runs {} gave no answer", file.display())]
    NoAnswer {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// Takes requests until it is dropped.
#[derive(Debug)]
pub struct Control {
    socket: PathBuf,
    _listening: AbortOnDropHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        // Whoever finds it left behind knows that nobody is there.
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Control {
    /// For the pipeline in this file.
    pub async fn start(file: &Path, requests: mpsc::Sender<Request>) -> Result<Self, ControlError> {
        let socket = socket(file).map_err(ControlError::NoSocket)?;
        if UnixStream::connect(&socket).await.is_ok() {
            return Err(ControlError::Taken { file: file.to_owned() });
        }
        // Of a process that was killed.
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).map_err(ControlError::NoSocket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))
            .map_err(ControlError::NoSocket)?;
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let requests = requests.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, &requests).await {
                        tracing::debug!("somebody asked, and left: {error}");
                    }
                });
            }
        });
        Ok(Self { socket, _listening: AbortOnDropHandle::new(listening) })
    }
}

/// Asks the process that runs the pipeline in this file.
pub async fn ask(file: &Path, asked: &Asked) -> Result<Answer, ControlError> {
    let socket = socket(file).map_err(ControlError::NoSocket)?;
    let nobody = |_| ControlError::NobodyThere { file: file.to_owned() };
    let stream = UnixStream::connect(&socket).await.map_err(nobody)?;
    let no_answer = |cause| ControlError::NoAnswer { file: file.to_owned(), cause };
    exchange(stream, asked).await.map_err(no_answer)
}

/// Its name is short, as those of sockets have to be.
fn socket(file: &Path) -> io::Result<PathBuf> {
    let file = file.canonicalize()?;
    let digest = Digest::of(file.as_os_str().as_encoded_bytes());
    Ok(private_folder::runtime()?.join(format!("{}.sock", digest.short())))
}

async fn exchange(mut stream: UnixStream, asked: &Asked) -> io::Result<Answer> {
    send(&mut stream, asked).await?;
    Ok(serde_json::from_str(&line(&mut stream, ANSWER_BYTES_MAX).await?)?)
}

async fn answer(mut stream: UnixStream, requests: &mpsc::Sender<Request>) -> io::Result<()> {
    let asked: Asked = serde_json::from_str(&line(&mut stream, ASKED_BYTES_MAX).await?)?;
    let (answer, answered) = oneshot::channel();
    let request = Request { asked, answer };
    let over = |_| io::Error::other("the pipeline is ending");
    requests.send(request).await.map_err(|_| io::Error::other("the pipeline has ended"))?;
    send(&mut stream, &answered.await.map_err(over)?).await
}

async fn send(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn line(stream: &mut UnixStream, bytes_max: u64) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream).take(bytes_max).read_line(&mut line).await?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_runs_a_pipeline_answers_and_others_are_told_that_nobody_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pins.yaml");
        std::fs::write(&file, "").unwrap();
        let nobody = ask(&file, &Asked::Generations).await;
        assert!(matches!(nobody, Err(ControlError::NobodyThere { .. })), "{nobody:?}");

        let (requests, mut asked) = mpsc::channel(1);
        let control = Control::start(&file, requests.clone()).await.unwrap();
        let mode = std::fs::metadata(&control.socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Control::start(&file, requests).await;
        assert!(matches!(second, Err(ControlError::Taken { .. })), "{second:?}");
        let answering = tokio::spawn(async move {
            let Some(Request { asked: Asked::RollBack { step }, answer }) = asked.recv().await
            else {
                panic!()
            };
            answer.send(Answer::Done { told: vec![step] }).unwrap();
        });
        let answer = ask(&file, &Asked::RollBack { step: "tags".to_owned() }).await.unwrap();
        assert_eq!(answer, Answer::Done { told: vec!["tags".to_owned()] });
        answering.await.unwrap();

        drop(control);
        assert!(ask(&file, &Asked::Generations).await.is_err());
    }
}
