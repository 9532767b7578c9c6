//! What a client's certificate says about who it is.

/// The names in the certificate that a client showed and that was verified. A request on such a connection
/// carries this as an extension; no extension means that nothing was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its subject alternative names of the kinds DNS and URI.
    pub names: Vec<String>,
}

impl PeerCertificate {
    /// Whether it was made for the node with this id: it has the URI `urn:llama-orch:node:<id>`, or the id
    /// as a DNS name.
    //= AUTH-1012
    pub fn names_node(&self, id: &str) -> bool {
        let named = |name: &String| name.strip_prefix("urn:llama-orch:node:").unwrap_or(name) == id;
        !id.is_empty() && self.names.iter().any(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= AUTH-1012 type=test
    #[test]
    fn a_certificate_names_the_node_of_its_urn_or_dns_name_and_no_other() {
        let of = |name: &str| PeerCertificate { names: vec!["other".to_owned(), name.to_owned()] };
        assert!(of("urn:llama-orch:node:gpu-7").names_node("gpu-7"));
        assert!(of("gpu-7").names_node("gpu-7"));
        for name in ["gpu-70", "urn:llama-orch:node:gpu-70", "urn:llama-orch:pool:gpu-7", "GPU-7", "*", ""] {
            assert!(!of(name).names_node("gpu-7"), "{name}");
        }
        assert!(!of("urn:llama-orch:node:").names_node(""));
    }
}
