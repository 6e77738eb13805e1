//! TLS: a certificate in two files, which may change while the server runs.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

/// Time between two looks at the files.
const BETWEEN: Duration = Duration::from_secs(10);

/// No certificate to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot read the {what} in {}: {reason}", path.display())]
    File { what: &'static str, path: PathBuf, reason: String },
    #[error("the certificate in {} cannot be used", path.display())]
    Certificate { path: PathBuf, source: rustls::Error },
    #[error("cannot offer TLS")]
    Protocol(#[from] rustls::Error),
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// The chain in PEM, the server's own first.
    pub(crate) certificate: PathBuf,
    /// Its key in PEM.
    pub(crate) key: PathBuf,
}

/// The certificate that is shown.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// TLS as a server offers it: versions 1.2 and 1.3, HTTP/2 and 1.1.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the certificate.
    ///
    /// # Errors
    ///
    /// [`TlsError`], also when key and certificate do not belong together.
    pub(crate) fn new(files: Files) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Arc::new(Shown(RwLock::new(Arc::new(files.read(&provider)?))));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { files, provider, shown, config: Arc::new(config) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Shows what is in the files whenever they have changed, or the process is sent `SIGHUP`. What cannot
    /// be used is told, and the certificate before is still shown. Never returns.
    ///
    /// # Errors
    ///
    /// When the signal cannot be caught.
    pub(crate) async fn keep_fresh(&self) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut known = self.files.changed_at();
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(BETWEEN) => false,
            };
            let now = self.files.changed_at();
            if !asked && now == known {
                continue;
            }
            match self.files.read(&self.provider) {
                Ok(read) => {
                    *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
                    known = now;
                    tracing::info!("the certificate was read again");
                }
                // Of two files that are being written, one comes first: it is tried again.
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the new certificate cannot be used; the one before is still shown"
                ),
            }
        }
    }
}

impl Files {
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let unreadable = |what, path: &PathBuf| {
            let path = path.clone();
            move |error: rustls::pki_types::pem::Error| TlsError::File {
                what,
                path: path.clone(),
                reason: error.to_string(),
            }
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(unreadable("certificate", &self.certificate))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(unreadable("key", &self.key))?;
        let unusable = |source| TlsError::Certificate { path: self.certificate.clone(), source };
        if chain.is_empty() {
            return Err(unusable(rustls::Error::NoCertificatesPresented));
        }
        CertifiedKey::from_der(chain, key, provider).map_err(unusable)
    }

    /// When each was last written.
    fn changed_at(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key]
            .map(|path| fs::metadata(path).and_then(|it| it.modified()).ok())
    }
}
