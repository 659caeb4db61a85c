//! Certificates are accepted by those who have to, for what they are for, and by nobody else.

use std::{process::Command, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use super::*;
use crate::cluster::Pair;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(ca: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("an authority");
    }
    Arc::new(roots)
}

fn parts(pair: &Pair) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
    (
        chain.collect::<Result<_, _>>().expect("PEM"),
        PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key"),
    )
}

/// A TLS handshake in memory, both sides with certificates, as the cluster's programs have them.
pub(super) fn handshake(
    server: &Pair,
    client: &Pair,
    ca: &str,
    client_ca: &str,
    name: &str,
) -> Result<(), rustls::Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(client_ca), provider());
    let (chain, key) = parts(server);
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(chain, key)?;
    let (chain, key) = parts(client);
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca))
        .with_client_auth_cert(chain, key)?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut buffer = Vec::new();
        client.write_tls(&mut buffer).expect("memory");
        server.read_tls(&mut buffer.as_slice()).expect("memory");
        server.process_new_packets()?;
        buffer.clear();
        server.write_tls(&mut buffer).expect("memory");
        client.read_tls(&mut buffer.as_slice()).expect("memory");
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn api_servers_are_known_by_every_name_and_clients_by_theirs() {
    let scratch = Scratch::new();
    let pki = scratch
        .render("networking: {serviceSubnet: '10.96.0.0/12,fd00:96::/112'}\n")
        .pki;
    let ca = &pki.cluster.certificate;
    let servers = [&pki.api_server["one"], &pki.api_server_self_hosted["one"]];
    for server in servers {
        for name in [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "one",
            "api.example",
            "a.more.example",
            "127.0.0.1",
            "::1",
            "192.0.2.1",
            "10.96.0.1",
            "fd00:96::1",
            "fd00::9",
        ] {
            handshake(server, &pki.admin, ca, ca, name)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for name in ["two.example", "192.0.2.2", "more.example"] {
            assert!(
                handshake(server, &pki.admin, ca, ca, name).is_err(),
                "{name}"
            );
        }
        let clients = [
            &pki.handoff,
            &pki.controller_manager,
            &pki.scheduler,
            &pki.api_server_kubelet_client,
            &pki.kubelets["one"],
            &pki.kubelets["two.example"],
        ];
        for client in clients {
            handshake(server, client, ca, ca, "one").expect("a client");
        }
        // Of another authority, or for servers only.
        let etcd_client = &pki.etcd_client.as_ref().expect("etcd").pair;
        for stranger in [&pki.front_proxy_client, etcd_client, server] {
            assert!(handshake(server, stranger, ca, ca, "one").is_err());
        }
    }
    let serial = |pair: &Pair| {
        let (_, block) = parse_x509_pem(pair.certificate.as_bytes()).expect("PEM");
        let (_, parsed) = parse_x509_certificate(&block.contents).expect("a certificate");
        parsed.raw_serial_as_string()
    };
    assert_ne!(
        serial(servers[0]),
        serial(servers[1]),
        "by which one tells them apart"
    );
}

#[test]
fn members_of_etcd_know_each_other_and_the_api_servers() {
    let scratch = Scratch::new();
    let more = "- {name: three, address: 192.0.2.3, etcd: true}\n";
    let pki = scratch.render(more).pki;
    let client = pki.etcd_client.expect("etcd");
    let ca = &pki.etcd.expect("etcd").certificate;
    assert_eq!(&client.ca, ca);
    assert_eq!(
        pki.etcd_members.keys().collect::<Vec<_>>(),
        ["one", "three"]
    );
    for (node, address) in [("one", "192.0.2.1"), ("three", "192.0.2.3")] {
        let member = &pki.etcd_members[node];
        for name in ["localhost", "127.0.0.1", "::1", node, address] {
            for asks in [
                &client.pair,
                pki.etcd_healthcheck_client.as_ref().expect("there"),
            ] {
                handshake(&member.server, asks, ca, ca, name).expect("a client");
            }
            handshake(&member.server, &member.server, ca, ca, name).expect("its own gateway");
            handshake(&member.peer, &pki.etcd_members["one"].peer, ca, ca, name).expect("a peer");
        }
        assert!(handshake(&member.server, &pki.admin, ca, ca, node).is_err());
    }
    handshake(
        &pki.etcd_members["one"].peer,
        &pki.front_proxy_client,
        ca,
        &pki.front_proxy.certificate,
        "one",
    )
    .expect("the front proxy's authority knows its client");
}

/// Common Name, Organization, (server, client).
fn facts(text: &str) -> (String, Option<String>, (bool, bool)) {
    let (_, block) = parse_x509_pem(text.as_bytes()).expect("PEM");
    let (_, certificate) = parse_x509_certificate(&block.contents).expect("a certificate");
    let subject = certificate.subject();
    let text = |name: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
        name.map(|name| name.as_str().expect("text").to_owned())
    };
    let usage = certificate.extended_key_usage().expect("extensions");
    let usage = usage.map_or((false, false), |usage| {
        (usage.value.server_auth, usage.value.client_auth)
    });
    (
        text(subject.iter_common_name().next()).unwrap_or_default(),
        text(subject.iter_organization().next()),
        usage,
    )
}

#[test]
fn subjects_and_usages_are_those_that_kubernetes_expects() {
    let scratch = Scratch::new();
    scratch.render("");
    let (server, client, both) = ((true, false), (false, true), (true, true));
    for (name, common_name, organization, usage) in [
        ("ca", "kubernetes", None, (false, false)),
        ("front-proxy-ca", "front-proxy-ca", None, (false, false)),
        ("etcd/ca", "etcd-ca", None, (false, false)),
        ("apiserver/one", "kube-apiserver", None, server),
        ("apiserver-self-hosted/one", "kube-apiserver", None, server),
        (
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            Some("system:masters"),
            client,
        ),
        ("front-proxy-client", "front-proxy-client", None, client),
        (
            "apiserver-etcd-client",
            "kube-apiserver-etcd-client",
            None,
            client,
        ),
        (
            "etcd/healthcheck-client",
            "kube-etcd-healthcheck-client",
            None,
            client,
        ),
        ("etcd/server/one", "one", None, both),
        ("etcd/peer/one", "one", None, both),
        ("admin", "kubernetes-admin", Some("system:masters"), client),
        ("handoff", "seedpod:handoff", Some("system:masters"), client),
        (
            "controller-manager",
            "system:kube-controller-manager",
            None,
            client,
        ),
        ("scheduler", "system:kube-scheduler", None, client),
        (
            "kubelet/two.example",
            "system:node:two.example",
            Some("system:nodes"),
            client,
        ),
    ] {
        let found = facts(&scratch.read(&format!("pki/{name}.crt")));
        let wanted = (
            common_name.to_owned(),
            organization.map(str::to_owned),
            usage,
        );
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn terms_are_as_configured_with_slack_for_clocks_and_within_the_authority_s() {
    let scratch = Scratch::new();
    scratch.render("certificates: {caDays: 100, days: 200}\n");
    let term = |name: &str| {
        let text = scratch.read(&format!("pki/{name}.crt"));
        let (_, block) = parse_x509_pem(text.as_bytes()).expect("PEM");
        let (_, certificate) = parse_x509_certificate(&block.contents).expect("a certificate");
        let validity = certificate.validity();
        (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        )
    };
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let (ca_from, ca_until) = term("ca");
    assert!((now - 3700..now - 3500).contains(&ca_from), "{ca_from}");
    assert_eq!((ca_until - ca_from) / 86_400, 100);
    assert_eq!(
        term("admin").1,
        ca_until,
        "no certificate outlives its authority"
    );
}

/// Where there is openssl, it is asked too: it is stricter than others in some things.
#[test]
fn openssl_accepts_every_chain() {
    let scratch = Scratch::new();
    scratch.render("");
    if Command::new("openssl").arg("version").output().is_err() {
        // The same chains have passed rustls' checks in the tests above.
        return;
    }
    for (path, _) in snapshot(&scratch.path("pki")) {
        if path.extension().is_none_or(|extension| extension != "crt") {
            continue;
        }
        let shown = path.display().to_string();
        let ca = match shown.as_str() {
            etcd if etcd.contains("etcd") => "pki/etcd/ca.crt",
            proxy if proxy.contains("front-proxy") => "pki/front-proxy-ca.crt",
            _ => "pki/ca.crt",
        };
        let output = Command::new("openssl")
            .args(["verify", "-x509_strict", "-CAfile"])
            .arg(scratch.path(ca))
            .arg(&path)
            .output()
            .expect("openssl ran");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}: {said}");
    }
}
