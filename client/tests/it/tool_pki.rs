//! `seedpod pki`: what it makes is used as a node and a client would.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use predicates::{prelude::PredicateBooleanExt as _, str::contains};
use tempfile::TempDir;
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem, prelude::GeneralName};

use crate::{
    certificates::Pair,
    fake::{Fake, Script, Tls, always, node},
    tool::{seedpod, stdout},
};

fn pki() -> TempDir {
    let directory = tempfile::tempdir().expect("a scratch folder");
    run(directory.path(), &["init", "DIR"]);
    directory
}

fn run(directory: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    attempt(directory, args).success()
}

fn attempt(directory: &Path, args: &[&str]) -> assert_cmd::assert::Assert {
    let directory = directory.display().to_string();
    let args = args
        .iter()
        .map(|arg| if *arg == "DIR" { &directory } else { *arg });
    seedpod(&[&["pki"], args.collect::<Vec<_>>().as_slice()].concat()).assert()
}

fn pair(directory: &Path, name: &str) -> Pair {
    Pair {
        certificate: fs::read_to_string(directory.join(format!("{name}.crt")))
            .expect("a certificate"),
        key: fs::read_to_string(directory.join(format!("{name}.key"))).expect("a key"),
    }
}

/// What the certificate in a file says.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    is_ca: bool,
    names: Vec<String>,
    organization: Option<String>,
    common_name: String,
    usage: (bool, bool),
    days: i64,
}

fn facts(directory: &Path, name: &str) -> Facts {
    let (_, block) = parse_x509_pem(pair(directory, name).certificate.as_bytes()).expect("PEM");
    let (_, certificate) = parse_x509_certificate(&block.contents).expect("a certificate");
    let alternatives = certificate.subject_alternative_name().expect("extensions");
    let names = alternatives.map_or_else(Vec::new, |extension| {
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
            other => panic!("{other:?}"),
        };
        extension.value.general_names.iter().map(name).collect()
    });
    let subject = certificate.subject();
    let usage = certificate
        .extended_key_usage()
        .expect("extensions")
        .map(|extension| extension.value);
    Facts {
        is_ca: certificate.is_ca(),
        names,
        organization: subject
            .iter_organization()
            .next()
            .map(|o| o.as_str().expect("text").to_owned()),
        common_name: subject
            .iter_common_name()
            .next()
            .expect("a name")
            .as_str()
            .expect("text")
            .to_owned(),
        usage: usage.map_or((false, false), |usage| {
            (usage.server_auth, usage.client_auth)
        }),
        days: (certificate.validity().not_after.timestamp()
            - certificate.validity().not_before.timestamp())
            / 86_400,
    }
}

#[test]
fn a_ca_is_made_with_a_private_key_that_is_private() {
    let directory = pki();
    let ca = facts(directory.path(), "ca");
    assert!(ca.is_ca);
    assert_eq!((ca.common_name.as_str(), ca.days), ("Seedpod CA", 3650));
    let mode = |name| {
        fs::metadata(directory.path().join(name))
            .expect("a file")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("ca.key"), mode("ca.crt")), (0o600, 0o644));
}

#[test]
fn roles_names_and_usages_stand_in_the_certificates() {
    let directory = pki();
    let dir = directory.path();
    let san = ["--san", "node-1.example", "--san", "10.0.0.7"];
    run(
        dir,
        &[
            &["issue", "DIR", "--name", "node-1", "--role", "server"],
            &san as &[&str],
        ]
        .concat(),
    );
    assert_eq!(
        facts(dir, "node-1"),
        Facts {
            is_ca: false,
            names: vec!["node-1.example".to_owned(), "[10, 0, 0, 7]".to_owned()],
            organization: None,
            common_name: "node-1".to_owned(),
            usage: (true, false),
            days: 365,
        }
    );
    for role in ["admin", "injector", "reader"] {
        run(
            dir,
            &[
                "issue", "DIR", "--name", role, "--role", role, "--days", "30",
            ],
        );
        let facts = facts(dir, role);
        assert_eq!(facts.organization, Some(format!("seedpod:{role}")));
        assert_eq!(
            (facts.common_name.as_str(), facts.usage, facts.days),
            (role, (false, true), 30)
        );
    }
    run(
        dir,
        &["issue", "DIR", "--name", "node-2", "--role", "server"],
    );
    assert_eq!(
        facts(dir, "node-2").names,
        ["node-2"],
        "without --san the name itself"
    );
}

#[test]
fn a_node_and_a_client_with_these_certificates_talk_to_each_other() {
    let directory = pki();
    let dir = directory.path();
    run(
        dir,
        &[
            "issue",
            "DIR",
            "--name",
            "node-1",
            "--role",
            "server",
            "--san",
            "127.0.0.1",
        ],
    );
    run(
        dir,
        &["issue", "DIR", "--name", "installer", "--role", "injector"],
    );
    let tls = Tls {
        pair: pair(dir, "node-1"),
        client_ca: pair(dir, "ca").certificate,
        version: &rustls::version::TLS13,
    };
    let fake = Fake::start_tls(
        Script {
            get_node: always(node()),
            ..Script::default()
        },
        tls,
    );
    let file = |name: &str| dir.join(name).display().to_string();
    let connect = |ca: &str, client: &str| {
        seedpod(&[
            "get",
            "node",
            "-o",
            "name",
            "--endpoint",
            &fake.endpoint,
            "--ca-file",
            ca,
        ])
        .env("SEEDPOD_CERT_FILE", file(&format!("{client}.crt")))
        .env("SEEDPOD_KEY_FILE", file(&format!("{client}.key")))
        .assert()
    };
    connect(&file("ca.crt"), "installer")
        .success()
        .stdout("node/node-1\n");
    connect(&file("ca.crt"), "node-1")
        .code(4)
        // Whether the node's alert arrives before the connection's end is up to the scheduler.
        .stderr(contains("the node refused the client's certificate"));
    let other = pki();
    connect(
        &other.path().join("ca.crt").display().to_string(),
        "installer",
    )
    .code(4)
    .stderr(contains("hint: --ca-file must hold the CA"));
}

#[test]
fn nothing_is_overwritten_without_force() {
    let directory = pki();
    let dir = directory.path();
    let before = pair(dir, "ca");
    attempt(dir, &["init", "DIR"])
        .code(1)
        .stderr(contains("--force"));
    assert_eq!(pair(dir, "ca").key, before.key);
    run(dir, &["init", "DIR", "--force"]);
    assert_ne!(pair(dir, "ca").key, before.key);

    let issue = ["issue", "DIR", "--name", "a", "--role", "reader"];
    run(dir, &issue);
    attempt(dir, &issue)
        .code(1)
        .stderr(contains("a.crt is there already; --force"));
    run(dir, &[&issue as &[&str], &["--force"]].concat());
    let left: Vec<_> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left.len(), 4, "nothing staged is left: {left:?}");
}

#[test]
fn the_paths_are_data_and_the_advice_is_not() {
    let directory = pki();
    let assert = run(
        directory.path(),
        &["issue", "DIR", "--name", "installer", "--role", "admin"],
    )
    .stderr(contains("seedpod config set-context").and(contains("seedpod:admin")));
    let dir = directory.path().display();
    assert_eq!(
        stdout(&assert),
        format!("{dir}/installer.crt\n{dir}/installer.key\n")
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let directory = pki();
    let dir = directory.path();
    for (args, code, complaint) in [
        (
            ["--name", "ca", "--role", "admin", "--days", "1"],
            2,
            "would overwrite the CA",
        ),
        (
            ["--name", "../x", "--role", "admin", "--days", "1"],
            2,
            "--name",
        ),
        (
            ["--name", "", "--role", "admin", "--days", "1"],
            2,
            "--name",
        ),
        (
            ["--name", "a", "--role", "king", "--days", "1"],
            2,
            "--role",
        ),
        (
            ["--name", "a", "--role", "admin", "--days", "0"],
            2,
            "--days",
        ),
        (
            ["--name", "a", "--role", "server", "--san", "no name"],
            2,
            "--san",
        ),
    ] {
        attempt(dir, &[&["issue", "DIR"], &args as &[&str]].concat())
            .code(code)
            .stderr(contains(complaint));
    }
    let empty = tempfile::tempdir().expect("a scratch folder");
    attempt(
        empty.path(),
        &["issue", "DIR", "--name", "a", "--role", "admin"],
    )
    .code(1)
    .stderr(contains("seedpod pki init"));
    fs::copy(pki().path().join("ca.key"), dir.join("ca.key")).expect("copied");
    attempt(dir, &["issue", "DIR", "--name", "a", "--role", "admin"])
        .code(1)
        .stderr(contains("is not the key of"));
}

#[test]
fn a_certificate_does_not_outlive_its_ca() {
    let directory = tempfile::tempdir().expect("a scratch folder");
    run(directory.path(), &["init", "DIR", "--days", "10"]);
    run(
        directory.path(),
        &["issue", "DIR", "--name", "a", "--role", "admin"],
    )
    .stderr(contains("the certificate ends with it"));
    assert_eq!(facts(directory.path(), "a").days, 10);
}
