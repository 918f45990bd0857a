//! Encryption of connections, by files that are read again when they change.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::config::HttpTlsConfig;

/// How often is looked whether the files are others.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Tls {
    files: HttpTlsConfig,
    known: Mutex<Known>,
}

struct Known {
    acceptor: TlsAcceptor,
    modified: [Option<SystemTime>; 2],
    looked: Instant,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("modified", &self.modified).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("no certificate can be read from {path}: {cause}")]
    Certificate { path: String, cause: pem::Error },
    #[error("no key can be read from {path}: {cause}")]
    Key { path: String, cause: pem::Error },
    #[error("{certificate} and {key} cannot be used together: {cause}")]
    Together { certificate: String, key: String, cause: rustls::Error },
}

impl Tls {
    pub fn read(files: &HttpTlsConfig) -> Result<Self, TlsError> {
        let known = Mutex::new(Known::read(files)?);
        Ok(Self { files: files.clone(), known })
    }

    pub fn files(&self) -> &HttpTlsConfig {
        &self.files
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK {
            known.look(&self.files);
        }
        known.acceptor.clone()
    }
}

impl Known {
    fn read(files: &HttpTlsConfig) -> Result<Self, TlsError> {
        let HttpTlsConfig { certificate, key } = files;
        let modified = times(files);
        let failed = |cause| TlsError::Certificate { path: certificate.clone(), cause };
        let chain = CertificateDer::pem_file_iter(certificate).map_err(failed)?;
        let chain = chain.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        if chain.is_empty() {
            return Err(failed(pem::Error::NoItemsFound));
        }
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|cause| TlsError::Key { path: key.clone(), cause })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, private));
        let mut config = config.map_err(|cause| {
            let (certificate, key) = (certificate.clone(), key.clone());
            TlsError::Together { certificate, key, cause }
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { acceptor, modified, looked: Instant::now() })
    }

    /// What cannot be read changes nothing: files are seldom replaced at once.
    fn look(&mut self, files: &HttpTlsConfig) {
        self.looked = Instant::now();
        let modified = times(files);
        if modified == self.modified {
            return;
        }
        self.modified = modified;
        match Self::read(files) {
            Ok(known) => *self = known,
            Err(error) => tracing::error!("the certificate from before goes on: {error}"),
        }
    }
}

fn times(files: &HttpTlsConfig) -> [Option<SystemTime>; 2] {
    let time = |path: &String| fs::metadata(Path::new(path)).and_then(|data| data.modified()).ok();
    [time(&files.certificate), time(&files.key)]
}
