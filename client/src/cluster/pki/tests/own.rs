//! One's own authorities and keys.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, SignatureAlgorithm,
};

use super::*;

const OWN: &str = "certificates: {directory: own}\n";

impl Scratch {
    fn give(&self, name: &str, text: &str) {
        let path = self.0.path().join("own").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
}

fn authority(algorithm: &'static SignatureAlgorithm) -> (String, KeyPair) {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "My own");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("signed");
    (certificate.pem(), key)
}

/// The key as older tools write it: what PKCS #8 is wrapped around, which is an octet string.
fn unwrapped(key: &KeyPair, label: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let der = key.serialized_der();
    let is_start = |window: &[u8]| window == [0x04, 0x6d, 0x30] || window == [0x04, 0x82, 0x04];
    let start = der.windows(3).position(is_start).expect("an octet string");
    let start = start + if der[start + 1] == 0x82 { 4 } else { 2 };
    let text = STANDARD.encode(&der[start..]);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

#[test]
fn ones_own_authorities_are_taken_whatever_their_keys() {
    for (algorithm, older) in [
        (&PKCS_RSA_SHA256, false),
        (&PKCS_RSA_SHA256, true),
        (&PKCS_ECDSA_P384_SHA384, false),
    ] {
        let scratch = Scratch::new();
        let (certificate, key) = authority(algorithm);
        let key = if older {
            unwrapped(&key, "RSA PRIVATE KEY")
        } else {
            key.serialize_pem()
        };
        scratch.give("ca.crt", &certificate);
        scratch.give("ca.key", &key);
        let rendered = scratch.render(OWN);
        assert_eq!(scratch.read("pki/ca.key"), key, "as it was given");
        assert_eq!(rendered.written["pki/ca.crt"], Written::Made);
        let pki = &rendered.pki;
        super::chains::handshake(
            &pki.api_server["one"],
            &pki.admin,
            &certificate,
            &certificate,
            "api.example",
        )
        .expect("certificates of one's own authority");
        assert_eq!(made(&scratch.render(OWN)), [""; 0]);
        // It has been copied: the folder is not needed any more, and may say the same.
        assert_eq!(made(&scratch.render("")), ["render.yaml"]);
    }
}

#[test]
fn an_older_form_of_service_account_keys_is_taken() {
    let scratch = Scratch::new();
    let key = KeyPair::generate().expect("a key");
    let text = unwrapped(&key, "EC PRIVATE KEY");
    scratch.give("sa.key", &text);
    let rendered = scratch.render(OWN);
    assert_eq!(*rendered.pki.service_account.private, text);
    assert_eq!(rendered.pki.service_account.public, key.public_key_pem());
    // Tokens that an older key signed stay good while its public half is there too.
    let older = KeyPair::generate().expect("a key").public_key_pem();
    let both = older + &key.public_key_pem();
    scratch.write("pki/sa.pub", &both);
    assert_eq!(scratch.render(OWN).pki.service_account.public, both);
}

#[test]
fn an_authority_without_its_key_will_do_when_nothing_is_left_to_sign() {
    let scratch = Scratch::new();
    scratch.render("");
    scratch.remove(&["pki/ca.key"]);
    let rendered = scratch.render("");
    assert!(rendered.pki.cluster.key.is_none());
    assert!(rendered.pki.etcd.is_some_and(|etcd| etcd.key.is_some()));
    assert_eq!(made(&scratch.render("")), [""; 0]);

    scratch.remove(&["pki/admin.crt", "pki/admin.key", "pki/kubelet/one.crt"]);
    let unfit = scratch.unfit("");
    assert_eq!(unfit.len(), 1, "{unfit:?}");
    let (file, said) = &unfit[0];
    assert_eq!(file, "ca.key");
    assert!(
        said.ends_with("what it would sign: admin.crt, admin.key, kubelet/one.crt"),
        "{said}"
    );
}

#[test]
fn everything_can_be_ones_own() {
    let source = Scratch::new();
    source.render("");
    let scratch = Scratch::new();
    for (path, content) in snapshot(&source.path("pki")) {
        let name = path
            .strip_prefix(source.path("pki"))
            .expect("inside")
            .display()
            .to_string();
        if name != "ca.key" {
            scratch.give(&name, &String::from_utf8(content).expect("text"));
        }
    }
    let rendered = scratch.render(OWN);
    assert!(rendered.pki.cluster.key.is_none());
    assert_eq!(scratch.read("pki/admin.crt"), source.read("pki/admin.crt"));
    assert!(!scratch.path("pki/ca.key").exists());
}

#[test]
fn two_authorities_are_one_too_many() {
    let scratch = Scratch::new();
    scratch.render("");
    let (certificate, key) = authority(&PKCS_ECDSA_P384_SHA384);
    scratch.give("ca.crt", &certificate);
    scratch.give("ca.key", &key.serialize_pem());
    let unfit = scratch.unfit(OWN);
    let files: Vec<&str> = unfit.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, ["ca.crt", "ca.key"], "{unfit:?}");
    assert!(
        unfit[0].1.contains("own/ca.crt; remove the one"),
        "{unfit:?}"
    );
}

#[test]
fn a_certificate_may_come_with_what_it_was_signed_by() {
    let scratch = Scratch::new();
    let (root, root_key) = authority(&PKCS_ECDSA_P384_SHA384);
    let root_issuer = Issuer::from_ca_cert_pem(&root, root_key).expect("an issuer");
    let between = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "between");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let between_certificate = params
        .signed_by(&between, &root_issuer)
        .expect("signed")
        .pem();
    let issuer =
        crate::certificates::Authority::read(&between_certificate, &between.serialize_pem());
    let request = crate::certificates::Request::client("system:kube-scheduler", 30);
    let issued = issuer.expect("an issuer").issue(&request).expect("issued");
    scratch.give("ca.crt", &root);
    scratch.give("ca.key", &root_issuer.key().serialize_pem());
    scratch.give("scheduler.key", &issued.key);
    scratch.give("scheduler.crt", &issued.certificate);
    let unfit = scratch.unfit(OWN);
    assert!(
        unfit.len() == 1 && unfit[0].1.contains("not signed by"),
        "{unfit:?}"
    );
    scratch.give(
        "scheduler.crt",
        &(issued.certificate + &between_certificate),
    );
    scratch.render(OWN);
}

#[test]
fn an_external_etcd_is_reached_with_the_files_that_are_named() {
    let source = Scratch::new();
    source.render("");
    let scratch = Scratch::new();
    let more = "level: 2-4\netcd: {external: {endpoints: ['https://192.0.2.9:2379'], caFile: own/ca.crt, \
                certFile: own/c.crt, keyFile: own/c.key}}\n";
    scratch.give("ca.crt", &source.read("pki/etcd/ca.crt"));
    scratch.give("c.crt", &source.read("pki/apiserver-etcd-client.crt"));
    let unfit = scratch.unfit(more);
    assert!(
        unfit.len() == 1 && unfit[0].1.contains("no such file"),
        "{unfit:?}"
    );
    scratch.give("c.key", &source.read("pki/admin.key"));
    let unfit = scratch.unfit(more);
    assert!(
        unfit.len() == 1 && unfit[0].0.ends_with("own/c.key"),
        "{unfit:?}"
    );
    scratch.give("c.key", &source.read("pki/apiserver-etcd-client.key"));
    let rendered = scratch.render(more);
    let client = rendered.pki.etcd_client.expect("a client");
    assert_eq!(client.ca, source.read("pki/etcd/ca.crt"));
    assert!(rendered.pki.etcd.is_none() && rendered.pki.etcd_members.is_empty());
    assert!(!scratch.path("pki/etcd").exists());

    let scratch = Scratch::new();
    let more = "level: 2-4\netcd: {external: {endpoints: ['http://192.0.2.9:2379']}}\n";
    assert!(scratch.render(more).pki.etcd_client.is_none());
}
