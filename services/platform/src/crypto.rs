//! One crypto library for everything: aws-lc-rs.

/// Makes it the provider of every TLS connection of the process. Called first thing in `main` and in tests; a
/// second call changes nothing.
pub fn install_crypto() {
    // An error says that a provider is installed already, and there is only this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
